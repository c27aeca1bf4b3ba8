"""``hpcbench simulate``, and the same from Python: generate a dataset, alone or on MPI ranks."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcbench.config.overrides import parse_overrides
from hpcbench.config.specification import Specification, name_of, python_call, read_data
from hpcbench.console import message, print_results
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.format import Layout
from hpcbench.errors import INTERRUPTED
from hpcbench.parallel.ranks import world
from hpcbench.run.command import current, recorded
from sims.generation.ensemble import Generated, generate
from sims.generation.spec import DatasetSpec, make_spec

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


def simulate(
    spec: Specification,
    out: Path | str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    layout: Layout | None = None,
    resume: bool = False,
    extend: Path | str | None = None,
) -> Dataset:
    """Integrate the ensemble of a specification, write it as a dataset, and open that.

    Under mpirun or srun every rank calls this and gets the dataset. A finished dataset of the
    same specification is opened as it is.

    Parameters
    ----------
    spec
        Path of a TOML file such as ``sims/specs/lorenz96_f8.toml``, or the same as a dict.
    out
        The dataset; by default ``data/NAME-OF-SPEC.h5``. A dict has no name: give ``out``.
    overrides
        Fields laid over the specification: ``{"sampling.num_samples": 100}``.
    layout
        ``file`` (written by one rank), ``parts`` (one file per rank) or ``collective`` (one file
        by all ranks, HDF5 with MPI); by default what fits the number of ranks.
    resume
        Continue an interrupted generation, to the same bytes.
    extend
        A finished dataset of the same specification with fewer samples, to begin with.

    Returns
    -------
    Dataset
        Open for reading; ``dataset.trajectory(member)`` is ``(time, component)``. Close it, or use
        it in a ``with`` statement.

    Raises
    ------
    InputError
        The specification is wrong, the path is taken or cannot be written.
    EnvironmentLacks
        HDF5 cannot do the layout.
    PartlyDone
        The disk filled up on the way; ``resume`` continues.
    """
    with recorded(current() or python_call("simulate", spec)):
        done = _simulate(spec, out, overrides or {}, layout, resume, extend)
    return open_dataset(done.path)


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench simulate`` on this rank and return its exit code."""
    overrides = parse_overrides(arguments.overrides)
    if arguments.seed is not None:
        overrides |= parse_overrides(["--seed", arguments.seed])
    done = _simulate(
        arguments.spec, arguments.out, overrides, arguments.layout, arguments.resume,
        arguments.extend,
    )  # fmt: skip
    if done.is_first:
        _report(done, arguments.json)
    return 0


@dataclass(frozen=True)
class _Simulated:
    """What was generated, by how many ranks."""

    spec: DatasetSpec[Any]
    path: Path
    generated: Generated
    num_ranks: int
    is_first: bool


def _simulate(
    spec: Specification,
    out: Path | str | None,
    overrides: Mapping[str, Any],
    layout: Layout | None,
    resume: bool,
    extend: Path | str | None,
) -> _Simulated:
    ranks = world()
    made = ranks.together(lambda: make_spec(*read_data(spec, overrides)))
    path = Path("data") / f"{name_of(spec)}.h5" if out is None else Path(out)
    short = None if extend is None else Path(extend)
    try:
        done = generate(made, path, layout, resume, ranks, short)
    except KeyboardInterrupt:
        if ranks.size > 1:  # the others wait for this rank
            message(f"hpcbench: interrupted; {path} is kept, --resume continues it")
            ranks.abort(INTERRUPTED)
        raise
    if ranks.is_first and done.already_there:
        message(f"{path}: already holds this dataset; nothing to do")
    return _Simulated(made, path, done, ranks.size, ranks.is_first)


def _report(done: _Simulated, as_json: bool) -> None:
    header = done.spec.header()
    generated = done.generated
    results = [
        {"name": "trajectories", "value": header.num_trajectories, "unit": ""},
        {"name": "samples", "value": header.num_samples, "unit": "per trajectory"},
        {"name": "state_bytes", "value": header.num_bytes, "unit": "bytes"},
    ]
    if not generated.already_there:
        updates = generated.num_steps * header.num_components
        rate = updates / generated.seconds / done.num_ranks
        results += [
            {"name": "generation", "value": generated.seconds, "unit": "seconds"},
            {"name": "updates", "value": rate, "unit": "grid points / second / rank"},
        ]
    document = {
        "path": str(done.path),
        "content_hash": header.content_hash(),
        "already_there": generated.already_there,
        "ranks": done.num_ranks,
    }
    print_results(results, as_json, document)
