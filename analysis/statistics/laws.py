"""Laws of scaling and communication: each says what time a step or a message should take.

A law maps named variables (``ranks``, ``bytes``, ``size``) and parameters to seconds. Parameters
have bounds, because outside them they mean nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Variables = Mapping[str, Array]


@dataclass(frozen=True)
class Law:
    """A law that measured times can be fitted with.

    Attributes
    ----------
    name, equation
        Name in tables and the formula, for the reader.
    variables
        What the law depends on; all are arrays of one length.
    bounds
        Lowest and highest meaningful value of each parameter.
    seconds
        ``seconds(variables, *parameters)`` → times; parameters may be arrays of shape
        (sample, 1) and the result then is (sample, point).
    start
        A guess of the parameters from ``(variables, times)``.
    """

    name: str
    equation: str
    variables: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    seconds: Callable[..., Array]
    start: Callable[[Variables, Array], tuple[float, ...]]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order ``seconds`` takes them."""
        return tuple(self.bounds)


POSITIVE = (0.0, np.inf)
SHARE = (0.0, 1.0)


def smallest(variables: Variables, times: Array) -> float:
    """Return the time of one rank as guessed from the smallest number of ranks."""
    first = int(np.argmin(variables["ranks"]))
    return float(times[first] * variables["ranks"][first])


def amdahl_seconds(v: Variables, one_rank_seconds: Any, serial_share: Any) -> Array:
    """Return T = T₁ (s + (1 − s)/p)."""
    return np.asarray(one_rank_seconds * (serial_share + (1 - serial_share) / v["ranks"]))


def gustafson_seconds(v: Variables, one_rank_seconds: Any, serial_share: Any) -> Array:
    """Return the time at fixed work per rank, T = T₁ p/S with S = p − s(p − 1)."""
    ranks = v["ranks"]
    return np.asarray(one_rank_seconds * ranks / (ranks - serial_share * (ranks - 1)))


def usl_seconds(v: Variables, one_rank_seconds: Any, contention: Any, coherency: Any) -> Array:
    """Return T = T₁ (1 + α(p − 1) + βp(p − 1))/p, from X = γp/(1 + α(p − 1) + βp(p − 1))."""
    ranks = v["ranks"]
    growth = 1 + contention * (ranks - 1) + coherency * ranks * (ranks - 1)
    return np.asarray(one_rank_seconds * growth / ranks)


def usl_peak(contention: float, coherency: float) -> float:
    """Return the number of ranks with the highest throughput, p* = √((1 − α)/β)."""
    return float(np.sqrt((1 - contention) / coherency)) if coherency > 0 else float("inf")


def hockney_seconds(v: Variables, latency: Any, seconds_per_byte: Any) -> Array:
    """Return t = a + b n."""
    return np.asarray(latency + seconds_per_byte * v["bytes"])


def ring_seconds(v: Variables, latency: Any, seconds_per_byte: Any) -> Array:
    """Return t = 2(p − 1) a + 2(p − 1)/p · n b, an allreduce around a ring."""
    hops = v["ranks"] - 1
    return np.asarray(2 * hops * latency + 2 * hops / v["ranks"] * v["bytes"] * seconds_per_byte)


def halving_seconds(v: Variables, latency: Any, seconds_per_byte: Any) -> Array:
    """Return t = 2⌈log₂p⌉ a + 2(p − 1)/p · n b, an allreduce by recursive halving and doubling."""
    rounds, share = np.ceil(np.log2(v["ranks"])), (v["ranks"] - 1) / v["ranks"]
    return np.asarray(2 * rounds * latency + 2 * share * v["bytes"] * seconds_per_byte)


def bus_bandwidth(ranks: Any, num_bytes: Any, seconds: Any) -> Array:
    """Return busbw = n/t · 2(p − 1)/p in bytes per second: comparable over numbers of ranks."""
    return np.asarray(num_bytes / seconds * 2 * (ranks - 1) / ranks)


def lorenz96_ring_seconds(v: Variables, site_seconds: Any, exchange_seconds: Any) -> Array:
    """Return T = c N/p + 2 e with e = a + h b, Lorenz-96 as a ring of sites over ranks.

    The halo h does not change with the ranks, so latency and bandwidth act as one exchange time.
    """
    return np.asarray(site_seconds * v["size"] / v["ranks"] + 2 * exchange_seconds)


def ks_transpose_seconds(v: Variables, latency: Any, point_seconds: Any) -> Array:
    """Return T = (p − 1) a + (1 − 1/p)(N/p) b, the transpose of a spectral Kuramoto–Sivashinsky."""
    ranks = v["ranks"]
    return np.asarray((ranks - 1) * latency + (1 - 1 / ranks) * v["size"] / ranks * point_seconds)


def line_start(v: Variables, times: Array) -> tuple[float, float]:
    """Guess latency from the smallest message and time per byte from the largest."""
    ranks = v.get("ranks", np.full_like(times, 2.0))
    hops = np.maximum(2 * (ranks - 1), 1)
    low, high = int(np.argmin(v["bytes"])), int(np.argmax(v["bytes"]))
    slope = times[high] / max(v["bytes"][high], 1)
    return float(times[low] / hops[low]), float(slope)


def size_start(v: Variables, times: Array) -> tuple[float, float]:
    """Guess the time per unit of size from the slowest point, the rest from the fastest."""
    slow = int(np.argmax(times))
    return (
        float(times[slow] * v["ranks"][slow] / v["size"][slow]),
        float(times.min() / 4),
    )


AMDAHL = Law(
    "Amdahl", "T = T1 (s + (1 - s)/p)", ("ranks",),
    {"one_rank_seconds": POSITIVE, "serial_share": SHARE}, amdahl_seconds,
    lambda v, t: (smallest(v, t), 0.05),
)  # fmt: skip
GUSTAFSON = Law(
    "Gustafson", "T = T1 p/(p - s(p - 1))", ("ranks",),
    {"one_rank_seconds": POSITIVE, "serial_share": SHARE}, gustafson_seconds,
    lambda v, t: (float(t.min()), 0.05),
)  # fmt: skip
USL = Law(
    "USL", "T = T1 (1 + alpha(p - 1) + beta p(p - 1))/p", ("ranks",),
    {"one_rank_seconds": POSITIVE, "contention": SHARE, "coherency": SHARE}, usl_seconds,
    lambda v, t: (smallest(v, t), 0.02, 1e-3),
)  # fmt: skip
HOCKNEY = Law(
    "Hockney", "t = a + b n", ("bytes",),
    {"latency": POSITIVE, "seconds_per_byte": POSITIVE}, hockney_seconds, line_start,
)  # fmt: skip
RING = Law(
    "ring allreduce", "t = 2(p - 1) a + 2(p - 1)/p n b", ("ranks", "bytes"),
    {"latency": POSITIVE, "seconds_per_byte": POSITIVE}, ring_seconds, line_start,
)  # fmt: skip
HALVING = Law(
    "recursive halving-doubling", "t = 2 ceil(log2 p) a + 2(p - 1)/p n b", ("ranks", "bytes"),
    {"latency": POSITIVE, "seconds_per_byte": POSITIVE}, halving_seconds, line_start,
)  # fmt: skip
LORENZ96_RING = Law(
    "Lorenz-96 ring", "T = c N/p + 2 e", ("ranks", "size"),
    {"site_seconds": POSITIVE, "exchange_seconds": POSITIVE}, lorenz96_ring_seconds, size_start,
)  # fmt: skip
KS_TRANSPOSE = Law(
    "Kuramoto-Sivashinsky transpose", "T = (p - 1) a + (1 - 1/p)(N/p) b", ("ranks", "size"),
    {"latency": POSITIVE, "point_seconds": POSITIVE}, ks_transpose_seconds,
    lambda v, t: (float(t.min() / v["ranks"].max()), size_start(v, t)[0]),
)  # fmt: skip

PMNF_POWERS = (-1.0, -0.5, 0.5, 1.0, 1.5, 2.0)
PMNF_LOGS = (0, 1)


def pmnf(power: float, log: int) -> Law:
    """Return the performance-model normal form with one term, T = c₀ + c₁ pⁱ log₂ʲ p.

    Reference: A. Calotoiu et al., SC13, doi:10.1145/2503210.2503277 (here with a single term).
    """

    def term(v: Variables) -> Array:
        return np.asarray(v["ranks"] ** power * np.log2(np.maximum(v["ranks"], 1)) ** log)

    def start(v: Variables, times: Array) -> tuple[float, float]:
        x = term(v)
        slope = float((times[np.argmax(x)] - times[np.argmin(x)]) / max(np.ptp(x), 1e-30))
        return max(float(times.min()) / 2, 1e-12), max(slope, float(times.min()) * 1e-3)

    name = f"PMNF p^{power:g}" + (" log2 p" if log else "")
    return Law(
        name, f"T = c0 + c1 p^{power:g}" + (" log2(p)" if log else ""), ("ranks",),
        {"constant": POSITIVE, "factor": POSITIVE},
        lambda v, constant, factor: np.asarray(constant + factor * term(v)), start,
    )  # fmt: skip


PMNF = tuple(
    pmnf(power, log) for power in PMNF_POWERS for log in PMNF_LOGS if (power, log) != (-1.0, 0)
)
"""The candidates; c₀ + c₁/p is left out because it is Amdahl's law in other parameters."""
STRONG_LAWS = (AMDAHL, USL, *PMNF)
WEAK_LAWS = (GUSTAFSON, *(law for law in PMNF if "p^-" not in law.name))
ALLREDUCE_LAWS = (RING, HALVING)
