"""``hpcbench simulate``: generate a dataset, alone or on the ranks of an MPI job."""

import argparse
from pathlib import Path
from typing import Any

from hpcbench.cli import INTERRUPTED
from hpcbench.console import message, print_results
from hpcbench.parallel.ranks import world
from sims.generation.ensemble import Generated, generate
from sims.generation.spec import DatasetSpec, read_spec

TAKES_OVERRIDES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench simulate``."""
    parser.add_argument("spec", metavar="SPEC.toml", type=Path, help="specification of the dataset")
    parser.add_argument(
        "--out", metavar="FILE.h5", type=Path, help="file to write (default: data/SPEC.h5)"
    )
    parser.add_argument(
        "--layout",
        choices=("file", "parts", "collective"),
        help="one file by one rank; a file of each rank; one file by all ranks (HDF5 with MPI)",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted generation")
    parser.add_argument(
        "--extend",
        metavar="SHORT.h5",
        type=Path,
        help="begin with the samples of this finished dataset of the same specification",
    )
    parser.add_argument("--seed", metavar="N", help="seed of the initial states")
    parser.epilog = "Any field of the specification can be given as well: --parameters.forcing 10"


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench simulate`` on this rank and return its exit code."""
    ranks = world()
    overrides = arguments.overrides
    if arguments.seed is not None:
        overrides = [*overrides, "--seed", arguments.seed]
    spec = ranks.together(lambda: read_spec(arguments.spec, overrides))
    out = arguments.out or Path("data") / f"{arguments.spec.stem}.h5"
    try:
        done = generate(spec, out, arguments.layout, arguments.resume, ranks, arguments.extend)
    except KeyboardInterrupt:
        if ranks.size > 1:  # the others wait for this rank
            message(f"hpcbench: interrupted; {out} is kept, --resume continues it")
            ranks.abort(INTERRUPTED)
        raise
    if ranks.is_first:
        if done.already_there:
            message(f"{out}: already holds this dataset; nothing to do")
        _report(spec, out, done, ranks.size, arguments.json)
    return 0


def _report(spec: DatasetSpec[Any], out: Path, done: Generated, size: int, as_json: bool) -> None:
    header = spec.header()
    results = [
        {"name": "trajectories", "value": header.num_trajectories, "unit": ""},
        {"name": "samples", "value": header.num_samples, "unit": "per trajectory"},
        {"name": "state_bytes", "value": header.num_bytes, "unit": "bytes"},
    ]
    if not done.already_there:
        updates = done.num_steps * header.num_components
        rate = updates / done.seconds / size
        results += [
            {"name": "generation", "value": done.seconds, "unit": "seconds"},
            {"name": "updates", "value": rate, "unit": "grid points / second / rank"},
        ]
    document = {
        "path": str(out),
        "content_hash": header.content_hash(),
        "already_there": done.already_there,
        "ranks": size,
    }
    print_results(results, as_json, document)
