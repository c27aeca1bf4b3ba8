"""``hpcbench bench``: rates of compiled kernels, of large trajectories, of writing datasets."""

import argparse
import os
from pathlib import Path
from typing import Any

from hpcbench.console import print_results
from hpcbench.errors import InputError, nearest
from hpcbench.parallel.ranks import world
from sims import kernels
from sims.bench.cores import own_core, pin
from sims.bench.kernels import all_kernels, kernel_rates
from sims.bench.result import measured
from sims.bench.space import large_trajectories, measure
from sims.bench.writing import io_rates


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hpcbench bench``."""
    parser.add_argument(
        "what",
        choices=["kernels", "space", "io"],
        help="kernels: updates per second of one core; space: one large trajectory, on one rank "
        "and on all (under mpirun); io: writing of datasets (or under mpirun)",
    )
    parser.add_argument("--rounds", type=int, default=9, help="samples of each rate (9)")
    parser.add_argument(
        "--core", type=int, help="core to run on (kernels: the last one allowed; io: all)"
    )
    parser.add_argument("--only", default="", help="kernels: those whose name contains this")
    parser.add_argument(
        "--sites", type=int, default=10_000_000, help="space: sites of the ring (10000000)"
    )
    parser.add_argument(
        "--points", type=int, default=1 << 20, help="space: points of the field (1048576)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="io: where to write (here; deleted afterwards)"
    )
    parser.add_argument(
        "--megabytes", type=int, default=1000, help="io: size of the dataset when writing (1000)"
    )


def command(arguments: argparse.Namespace) -> int:
    """Measure the kernels in turns and print medians with their spread."""
    if arguments.rounds < 1:
        raise InputError(f"--rounds: at least 1 is needed; got {arguments.rounds}")
    if arguments.what == "space":
        return _space(arguments)
    if arguments.what == "io":
        return _io(arguments)
    core = pin(arguments.core)
    everything = list(all_kernels())
    chosen = [k for k in everything if arguments.only in k.work.name]
    if not chosen:
        names = [k.work.name for k in everything]
        raise InputError(
            f'--only: no kernel\'s name contains "{arguments.only}"'
            f"{nearest(arguments.only, names)}; there are: {', '.join(names)}"
        )
    results = kernel_rates(chosen, arguments.rounds)
    document = {"variant": kernels.variant(), "core": core, "rounds": arguments.rounds}
    if not arguments.json:
        print(f"kernels: {document['variant']}, core {core}, {arguments.rounds} rounds")
    print_results(results, arguments.json, document)
    return 0


def _space(arguments: argparse.Namespace) -> int:
    for option, given, least in [
        ("--sites", arguments.sites, 4),
        ("--points", arguments.points, 16),
    ]:
        if given < least or (option == "--points" and given % 2):
            even = ", and an even number" if option == "--points" else ""
            raise InputError(f"{option}: at least {least} are needed{even}; got {given}")
    ranks = world()
    own_core(ranks)
    results: list[dict[str, Any]] = []
    for large in large_trajectories(arguments.sites, arguments.points):
        samples = measure(large, ranks, arguments.rounds)
        for size, taken in samples.items():
            name = f"{large.name}, {size} rank{'s' if size > 1 else ''}"
            results.append(measured(name, [s.rate for s in taken], "updates/s"))
        if len(samples) > 1:
            pairs = zip(samples[1], samples[ranks.size], strict=True)
            ratios = [many.rate / (ranks.size * one.rate) for one, many in pairs]
            results.append(measured("  parallel efficiency", ratios, ""))
            shares = [s.exchange for s in samples[ranks.size]]
            results.append(measured("  of the time in exchanges", shares, ""))
    if ranks.is_first:
        document = {"variant": kernels.variant(), "ranks": ranks.size, "rounds": arguments.rounds}
        if not arguments.json:
            print(f"space: {document['variant']}, {ranks.size} ranks, {arguments.rounds} rounds")
        print_results(results, arguments.json, document)
    return 0


def _io(arguments: argparse.Namespace) -> int:
    ranks = world()
    if arguments.megabytes < 1:
        raise InputError(f"--megabytes: at least 1 is needed; got {arguments.megabytes}")
    if not arguments.folder.is_dir():
        raise InputError(f"--folder: {arguments.folder} is no folder; give one that is there")
    if arguments.core is not None:
        pin(arguments.core)
    results = io_rates(arguments.folder, arguments.megabytes, arguments.rounds, ranks)
    document = {
        "variant": kernels.variant(),
        "ranks": ranks.size,
        "cores": len(os.sched_getaffinity(0)),
        "folder": str(arguments.folder),
        "megabytes": arguments.megabytes,
    }
    if ranks.is_first:
        print_results(results, arguments.json, document)
    return 0
