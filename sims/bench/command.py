"""``hpcbench bench``: rates of compiled kernels, of large trajectories, of writing datasets."""

import argparse
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcbench.console import print_results
from hpcbench.errors import InputError, nearest
from hpcbench.parallel.ranks import world
from sims import kernels
from sims.bench.space import large_trajectories, measure, own_core
from sims.bench.writing import io_rates
from sims.kernels.measure import (
    LORENZ96_FLOPS,
    Work,
    interleaved_rates,
    kuramoto_sivashinsky_flops,
    multiply_add_probe,
    triad_probe,
)

TRIAD_BYTES = 1 << 26
"""Per array: beyond every cache."""

RING_SITES = 1_000_000
RING_STEPS = 16


@dataclass(frozen=True)
class Kernel:
    """A work with what one update costs.

    flops
        Floating-point operations per update.
    memory_bytes
        Bytes to and from memory per update, 0 where the data stay in the cache.
    """

    work: Work
    dtype: np.dtype[Any]
    flops: float
    memory_bytes: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hpcbench bench``."""
    parser.add_argument(
        "what",
        choices=["kernels", "space", "io"],
        help="kernels: updates per second of one core; space: one large trajectory, on one rank "
        "and on all (under mpirun); io: writing of datasets (or under mpirun)",
    )
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each rate (9)")
    parser.add_argument(
        "--core", type=int, help="core to run on (kernels: the last one allowed; io: all)"
    )
    parser.add_argument("--only", default="", help="kernels: only those whose name contains this")
    parser.add_argument(
        "--sites", type=int, default=10_000_000, help="space: sites of the ring (10000000)"
    )
    parser.add_argument(
        "--points", type=int, default=1 << 20, help="space: points of the field (1048576)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        help="io: folder to write to (here; deleted afterwards)",
    )
    parser.add_argument(
        "--megabytes", type=int, default=1000, help="io: megabytes of the dataset to write (1000)"
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
    dtypes = sorted({k.dtype for k in chosen}, key=str, reverse=True)
    probes = [
        probe for t in dtypes for probe in (multiply_add_probe(t), triad_probe(t, TRIAD_BYTES))
    ]
    rates = interleaved_rates([*probes, *(k.work for k in chosen)], arguments.rounds)
    results = [
        _result(p.name, rates[p.name], "B/s" if "triad" in p.name else "flop/s") for p in probes
    ]
    for kernel in chosen:
        results.append(_result(kernel.work.name, rates[kernel.work.name], "updates/s"))
        results += _fractions(kernel, rates)
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
            results.append(_result(name, [s.rate for s in taken], "updates/s"))
        if len(samples) > 1:
            pairs = zip(samples[1], samples[ranks.size], strict=True)
            ratios = [many.rate / (ranks.size * one.rate) for one, many in pairs]
            results.append(_result("  parallel efficiency", ratios, ""))
            shares = [s.exchange for s in samples[ranks.size]]
            results.append(_result("  of the time in exchanges", shares, ""))
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
        raise InputError(f"--folder: {arguments.folder} is no folder; give an existing one")
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


def pin(core: int | None) -> int:
    """Bind this process to one core and return its number."""
    allowed = os.sched_getaffinity(0)
    if core is None:
        core = max(allowed)
    elif core not in allowed:
        valid = ", ".join(map(str, sorted(allowed)))
        raise InputError(f"--core: {core} is not open to this process; valid: {valid}")
    os.sched_setaffinity(0, {core})
    return core


def all_kernels() -> Iterator[Kernel]:
    """Yield the kernels with the sizes that the documentation quotes."""
    random = np.random.default_rng(1)
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        size = dtype.itemsize
        yield _lorenz96(random, dtype, save_every=0, flops=LORENZ96_FLOPS, memory_bytes=0)
        # saved at every step in float32: written, after the line has been read
        yield _lorenz96(random, dtype, save_every=1, flops=LORENZ96_FLOPS, memory_bytes=8)
        yield _ring(random, dtype, memory_bytes=2 * size / RING_STEPS)
        for num_points, scheme in [
            (64, "etdrk4"),
            (64, "etdab4"),
            (64, "etd_pece"),
            (512, "etdrk4"),
        ]:
            yield _kuramoto_sivashinsky(random, dtype, num_points, scheme)


def _lorenz96(
    random: np.random.Generator,
    dtype: np.dtype[Any],
    save_every: int,
    flops: float,
    memory_bytes: float,
) -> Kernel:
    states = (8 + random.standard_normal((1024, 40))).astype(dtype)
    num_steps = 100
    out = np.empty((1024, num_steps, 40), np.float32) if save_every else None

    def call() -> None:
        kernels.lorenz96_ensemble(states, 8.0, 0.01, num_steps, save_every or 1, out)

    saved = ", every step saved" if save_every else ""
    name = f"lorenz96 40 sites × 1024, {dtype}{saved}"
    return Kernel(Work(name, call, states.size * num_steps), dtype, flops, memory_bytes)


def _ring(random: np.random.Generator, dtype: np.dtype[Any], memory_bytes: float) -> Kernel:
    halo = (kernels.HALO_LEFT + kernels.HALO_RIGHT) * RING_STEPS
    start = (8 + random.standard_normal(RING_SITES + halo)).astype(dtype)

    def call() -> None:
        # the halos stay behind in time, which costs nothing and changes no rate
        kernels.ring_advance(start, 8.0, 0.01, RING_STEPS)

    name = f"lorenz96 ring of {RING_SITES}, {dtype}"
    work = Work(name, call, RING_SITES * RING_STEPS)
    return Kernel(work, dtype, LORENZ96_FLOPS, memory_bytes)


def _kuramoto_sivashinsky(
    random: np.random.Generator, dtype: np.dtype[Any], num_points: int, scheme: str
) -> Kernel:
    num_trajectories, num_steps, length = 64, 64, 22.0 * num_points / 64
    step = 0.25 if scheme == "etdrk4" else 0.05
    states = (0.1 * random.standard_normal((num_trajectories, num_points))).astype(dtype)

    def call() -> None:
        kernels.kuramoto_sivashinsky_ensemble(states, length, step, num_steps, scheme=scheme)

    name = f"kuramoto_sivashinsky {num_points} points × {num_trajectories}, {scheme}, {dtype}"
    flops = kuramoto_sivashinsky_flops(num_points, scheme)
    return Kernel(Work(name, call, states.size * num_steps), dtype, flops, 0)


def _result(name: str, rates: list[float], unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": statistics.median(rates),
        "unit": unit,
        "lowest": min(rates),
        "highest": max(rates),
        "n": len(rates),
    }


def _fractions(kernel: Kernel, rates: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return the shares of the measured limits, each the median of the rounds' ratios."""
    limits = [("multiply-add", kernel.flops), ("triad", kernel.memory_bytes)]
    results = []
    for limit, cost in limits:
        if not cost:
            continue
        shares = [
            rate * cost / most
            for rate, most in zip(
                rates[kernel.work.name], rates[f"{limit} {kernel.dtype}"], strict=True
            )
        ]
        results.append(_result(f"  of the {limit} limit", shares, ""))
    return results
