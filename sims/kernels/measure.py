"""Rates of the kernels and of what limits them, measured in turns."""

import time
from collections.abc import Callable, Sequence
from ctypes import c_double, c_long, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np

from sims.kernels.library import function

SAMPLE_SECONDS = 0.05
"""Shortest time that one sample takes: far above the clock's resolution and the call's cost."""

LORENZ96_FLOPS = 29
"""Additions and multiplications per site and Runge-Kutta step."""


@dataclass(frozen=True)
class Work:
    """Something to be timed.

    name
        As it appears in the results.
    call
        Does the work once.
    amount
        Units of work (updates, flops, bytes) done by one call.
    """

    name: str
    call: Callable[[], Any]
    amount: float


def interleaved_rates(works: Sequence[Work], num_rounds: int) -> dict[str, list[float]]:
    """Return name → rates, one per round; in each round every work has its turn.

    So a disturbance that lasts hits all of them, and ratios suffer less than rates do. Times are
    CPU seconds of this process with all its threads: on a shared core, the time that others get
    does not count.
    """
    repeats = [_repeats(work) for work in works]
    rates: dict[str, list[float]] = {work.name: [] for work in works}
    for _ in range(num_rounds):
        for work, times in zip(works, repeats, strict=True):
            rates[work.name].append(work.amount * times / _seconds(work, times))
    return rates


def _repeats(work: Work) -> int:
    work.call()  # first touches of memory, compilations
    times = 1
    while (seconds := _seconds(work, times)) < SAMPLE_SECONDS:
        times = max(2 * times, min(64 * times, int(times * SAMPLE_SECONDS / max(seconds, 1e-9))))
    return times


def _seconds(work: Work, times: int) -> float:
    begin = time.process_time()
    for _ in range(times):
        work.call()
    return time.process_time() - begin


def multiply_add_probe(dtype: np.dtype[Any]) -> Work:
    """Return the work of independent multiply-adds in registers, in flops."""
    probe = function("probe_multiply_add", dtype)
    probe.argtypes, probe.restype = [c_long], c_double
    repeats = 100_000
    return Work(f"multiply-add {dtype}", lambda: probe(repeats), probe(repeats))


def triad_probe(dtype: np.dtype[Any], array_bytes: int) -> Work:
    """Return the work of a = b + s c over three arrays, in bytes."""
    probe = function("probe_triad", dtype)
    probe.argtypes, probe.restype = [c_void_p, c_void_p, c_void_p, c_long], c_double
    arrays = np.ones((3, array_bytes // dtype.itemsize), dtype)
    addresses = [array.ctypes.data for array in arrays]
    length = arrays.shape[1]

    def call() -> Any:
        # the closure also keeps the arrays alive
        return probe(*addresses, arrays.shape[1])

    return Work(f"triad {dtype}", call, 3.0 * dtype.itemsize * length)


def kuramoto_sivashinsky_flops(num_points: int, scheme: str) -> float:
    """Return the additions and multiplications per grid point and step of a scheme.

    Per complex field, which holds two trajectories: passes with their twiddle factors, squares,
    and updates of the spectrum as the kernel does them.
    """
    transforms = {2: 4, 4: 16, 8: 60}
    updates = {"etdrk4": [6, 6, 24, 4], "etdab4": [18], "etd_pece": [34, 4]}[scheme]
    bits = num_points.bit_length() - 4
    outer = 1 << (bits % 3 or 3)
    evaluation = 2 * (transforms[outer] + 6 * (outer - 1)) / outer + 2
    evaluation += (bits - 1) // 3 * 2 * (transforms[8] + 6 * 7) / 8 + 2 * transforms[8] / 8
    return (len(updates) * evaluation + sum(updates)) / 2
