"""Whether a difference is more than chance: permutation test, and many tests at once."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.statistics.intervals import NUM_RESAMPLES, RESAMPLING_SEED, Array, finite

LARGE = 40
"""Values on each side above which the normal limit of a rank sum is exact to three digits."""


def permutation_test(first: Sequence[float] | Array, second: Sequence[float] | Array) -> float:
    """Return the two-sided p-value of "both come from one population", by their rank sums.

    All ways to split the values are gone through where there are at most
    :data:`NUM_RESAMPLES`·5, else as many random ones; the observed split counts itself. Above
    :data:`LARGE` values on both sides the normal limit of the rank sum (with ties) takes their
    place. Ranks make one straggler weigh no more than any other slow run.
    """
    a, b = finite(first), finite(second)
    if len(a) == 0 or len(b) == 0:
        return math.nan
    if min(len(a), len(b)) > LARGE:
        return float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)
    ranks = stats.rankdata(np.concatenate([a, b]))
    n, most = len(ranks), 5 * NUM_RESAMPLES
    if math.comb(n, len(a)) <= most:
        chosen = np.array(list(itertools.combinations(range(n), len(a))))
    else:
        rng = np.random.default_rng(RESAMPLING_SEED)
        chosen = rng.permuted(np.tile(np.arange(n), (most, 1)), axis=1)[:, : len(a)]
        chosen[0] = np.arange(len(a))
    expected = len(a) * (n + 1) / 2
    distance = np.abs(ranks[chosen].sum(axis=1) - expected)
    observed = abs(float(ranks[: len(a)].sum()) - expected)
    return float(np.mean(distance >= observed - 1e-9))


def holm(p_values: Sequence[float] | Array) -> Array:
    """Return p-values adjusted for their number by Holm's step-down rule.

    Reference: S. Holm, Scand. J. Stat. 6 (1979) 65.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)
