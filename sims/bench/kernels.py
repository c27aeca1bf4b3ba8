"""Rates of the compiled kernels on one core, beside what that core can do at most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sims import kernels
from sims.bench.result import measured
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


def kernel_rates(chosen: Sequence[Kernel], num_rounds: int) -> list[dict[str, Any]]:
    """Return the measured limits of the core, then the rates of kernels and their shares of these.

    chosen
        Kernels, as :func:`all_kernels` yields them; all take their turns in every round.
    """
    dtypes = sorted({k.dtype for k in chosen}, key=str, reverse=True)
    probes = [
        probe for t in dtypes for probe in (multiply_add_probe(t), triad_probe(t, TRIAD_BYTES))
    ]
    rates = interleaved_rates([*probes, *(k.work for k in chosen)], num_rounds)
    results = [
        measured(p.name, rates[p.name], "B/s" if "triad" in p.name else "flop/s") for p in probes
    ]
    for kernel in chosen:
        results.append(measured(kernel.work.name, rates[kernel.work.name], "updates/s"))
        results += fractions(kernel, rates)
    return results


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


def fractions(kernel: Kernel, rates: dict[str, list[float]]) -> list[dict[str, Any]]:
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
        results.append(measured(f"  of the {limit} limit", shares, ""))
    return results
