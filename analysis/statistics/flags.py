"""Flags on a series of step times: warm-up, drift, autocorrelation, outliers.

Nothing is ever removed on a flag; a table counts them and the reader judges.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.intervals import autocorrelation, finite

Array = npt.NDArray[Any]

CHANGE_PENALTY = 4.0
"""Gain a change-point must bring, in units of σ² log n (BIC with a margin)."""

CLIP_SIGMAS = 5.0
"""Distance at which a single step stops counting more, so that one straggler is no change."""

DRIFT_SHARE = 0.02
"""Relative change over the whole series below which a trend does not matter."""


def warm_up_length(seconds: Array, floor: int = 0) -> int:
    """Return how many steps at the start belong to the warm-up, at least ``floor``.

    The series of log times, clipped at 5 σ around its second half, is split where two constant
    levels fit it best. While the split gains more than 4 σ² log n and the earlier level is the
    slower, the earlier part is warm-up and the rest is searched again: a gradual warm-up goes in
    several cuts. At most half of the series can be warm-up.
    """
    x = np.log(finite(seconds))
    limit = len(x) // 2
    half = x[limit:]
    if len(half) < 4:
        return min(floor, len(x))
    middle = float(np.median(half))
    sigma = max(1.4826 * float(np.median(np.abs(half - middle))), 1e-9)
    x = np.clip(x, middle - CLIP_SIGMAS * sigma, middle + CLIP_SIGMAS * sigma)
    begin = 0
    while begin < limit:
        split = best_split(x[begin:], limit - begin, CHANGE_PENALTY * sigma**2)
        if split == 0:
            break
        begin += split
    return max(begin, min(floor, len(x)))


def best_split(x: Array, limit: int, penalty: float) -> int:
    """Return where two levels, the first one higher, fit best; 0 when one level does as well."""
    n = len(x)
    sizes = np.arange(1, min(limit, n - 1) + 1)
    sums = np.cumsum(x)[: len(sizes)]
    before, after = sums / sizes, (x.sum() - sums) / (n - sizes)
    gain = sizes * (n - sizes) / n * (before - after) ** 2
    gain[before <= after] = 0.0
    best = int(np.argmax(gain)) if len(gain) else 0
    return int(sizes[best]) if len(gain) and gain[best] > penalty * math.log(n) else 0


def drift(seconds: Array) -> float:
    """Return the relative change over a series where there is a trend, else 0.

    A trend is a Theil–Sen slope of more than 2 % over the series that Kendall's τ finds at 1 %.
    """
    x = finite(seconds)
    if len(x) < 10 or np.ptp(x) == 0:
        return 0.0
    # A long series is thinned to medians of blocks: the slope needs all pairs.
    blocks = np.array([np.median(part) for part in np.array_split(x, min(len(x), 200))])
    time = np.arange(len(blocks))
    slope = float(stats.theilslopes(blocks, time).slope)
    change = slope * (len(blocks) - 1) / float(np.median(blocks))
    significant = stats.kendalltau(time, blocks).pvalue < 0.01
    return change if significant and abs(change) > DRIFT_SHARE else 0.0


def correlated(seconds: Array) -> float:
    """Return the lag-1 autocorrelation where it exceeds what independent steps show, else 0."""
    x = finite(seconds)
    if len(x) < 16:
        return 0.0
    # Ranks: a single straggler must not hide or make a correlation.
    value = float(autocorrelation(stats.rankdata(x), 1)[0])
    return value if abs(value) > 3 / math.sqrt(len(x)) else 0.0


def outliers(seconds: Array) -> int:
    """Return how many steps lie outside Tukey's fences, 1.5 interquartile ranges out."""
    x = finite(seconds)
    if len(x) == 0:
        return 0
    low, high = np.percentile(x, [25, 75])
    reach = 1.5 * (high - low)
    return int(np.sum((x < low - reach) | (x > high + reach)))
