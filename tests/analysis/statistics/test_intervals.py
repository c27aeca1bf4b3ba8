import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics.intervals import (
    autocorrelation,
    block_length,
    few_runs_interval,
    hierarchical_medians,
    hodges_lehmann,
    mean_interval,
    median_interval,
    rank_bounds,
    ratio_interval,
    repeats_wanted,
)
from analysis.statistics.significance import LARGE, holm, permutation_test


@pytest.mark.parametrize(
    ("n", "bounds"),
    [(1, None), (5, None), (6, (1, 6)), (9, (2, 8)), (12, (3, 10)), (20, (6, 15))],
)
def test_rank_bounds_of_the_median(n: int, bounds: tuple[int, int] | None) -> None:
    assert rank_bounds(n) == bounds


@given(st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_rank_bounds_are_the_tightest_with_the_wanted_coverage(n: int, confidence: float) -> None:
    def coverage(k: int) -> float:
        return float(1 - 2 * stats.binom.cdf(k - 1, n, 0.5))

    bounds = rank_bounds(n, confidence)
    if bounds is None:
        assert coverage(1) < confidence
    else:
        assert coverage(bounds[0]) >= confidence > coverage(bounds[0] + 1)


def test_median_interval_of_six_is_their_range() -> None:
    interval = median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert (interval.value, interval.low, interval.high, interval.n) == (3.5, 1.0, 6.0, 6)
    assert interval.half_width == pytest.approx(5 / 7)


def test_five_values_have_no_interval_and_nan_is_not_counted() -> None:
    interval = median_interval([1.0, 2.0, 3.0, 4.0, 5.0, math.nan])
    assert interval.n == 5
    assert math.isnan(interval.low)


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_nothing_gives_nothing(values: list[float]) -> None:
    assert median_interval(values).n == 0
    assert math.isnan(mean_interval(values).value)


def test_identical_values_have_an_interval_of_no_width() -> None:
    assert mean_interval([2.0] * 8).low == mean_interval([2.0] * 8).high == 2.0
    ratio = ratio_interval([np.full(9, 2.0)] * 6, [np.full(9, 1.0)] * 6)
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


def test_autocorrelation_and_blocks() -> None:
    assert autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 1)[0] == pytest.approx(-0.75)
    assert list(autocorrelation(np.ones(5), 2)) == [0.0, 0.0]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(400)
    assert block_length(noise) <= 3
    assert block_length(np.convolve(noise, np.ones(20), "valid")) > 8


def test_runs_of_one_allocation_are_resampled_together() -> None:
    runs = [np.array([value]) for value in (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)]
    apart = hierarchical_medians(runs)
    together = hierarchical_medians(runs, ["a", "a", "a", "b", "b", "b"])
    # Whole allocations are all 1 or all 2 half of the time; single runs hardly ever are.
    assert np.mean(together == 1.5) == pytest.approx(0.5, abs=0.05)
    assert np.mean(apart == 1.5) < 0.4
    assert set(np.unique(together)) == {1.0, 1.5, 2.0}


def test_resampling_is_reproducible() -> None:
    runs = [np.random.default_rng(seed).random(50) for seed in range(6)]
    assert ratio_interval(runs, runs[::-1]) == ratio_interval(runs, runs[::-1])


def test_hodges_lehmann_is_the_median_of_pairwise_means() -> None:
    # pairs of (1, 2, 9): 1, 1.5, 5, 2, 5.5, 9
    assert hodges_lehmann(np.array([1.0, 2.0, 9.0])) == 3.5
    assert list(hodges_lehmann(np.array([[1.0, 1.0], [1.0, 3.0]]))) == [1.0, 2.0]


def test_permutation_test_enumerates_all_splits() -> None:
    # Of the 70 splits only the observed one and its mirror are as far apart.
    assert permutation_test([1.0, 1.1, 1.2, 1.3], [2.0, 2.1, 2.2, 9.3]) == pytest.approx(2 / 70)
    assert permutation_test([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1.0
    assert math.isnan(permutation_test([], [1.0]))


def test_permutation_test_samples_large_groups_and_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(3)
    p = [permutation_test(rng.lognormal(size=15), rng.lognormal(size=15)) for _ in range(60)]
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.2)


def test_holm_adjusts_in_steps() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_repeats_go_on_until_the_interval_is_narrow_enough() -> None:
    rng = np.random.default_rng(0)
    assert repeats_wanted([]) == 6
    assert repeats_wanted([1.0] * 4) == 2
    assert repeats_wanted(1 + 0.01 * rng.standard_normal(6)) == 0
    noisy = 1 + 0.5 * rng.random(6)
    more = repeats_wanted(noisy)
    assert 0 < more <= 14
    assert repeats_wanted(1 + rng.random(20)) == 0
    assert repeats_wanted([1.0, 2.0, 3.0], minimum=3) == 1


def test_many_values_take_the_normal_limit_of_the_rank_sum() -> None:
    rng = np.random.default_rng(8)
    for shift in (0.0, 0.3, 0.6):
        a, b = rng.standard_normal(LARGE), rng.standard_normal(LARGE) + shift
        # permutations up to here; the normal limit says the same where it takes over
        limit = stats.mannwhitneyu(a, b, method="asymptotic").pvalue
        assert permutation_test(a, b) == pytest.approx(limit, abs=0.012)
    many = rng.standard_normal((2, 4000))
    assert permutation_test(many[0], many[1] + 0.1) < 0.01 < permutation_test(*many)


def test_few_runs_interval_is_students() -> None:
    interval = few_runs_interval([1.0, 2.0, 3.0])
    assert interval.value == 2.0
    assert interval.high - 2.0 == pytest.approx(4.302652729911275 / np.sqrt(3))
    assert 2.0 - interval.low == pytest.approx(4.302652729911275 / np.sqrt(3))
    alone = few_runs_interval([5.0])
    assert alone.value == 5.0
    assert np.isnan([alone.low, alone.high]).all()
