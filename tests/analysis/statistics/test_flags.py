import numpy as np
import pytest

from analysis.statistics.flags import correlated, drift, outliers, warm_up_length


def steps(seed: int, n: int = 300, noise: float = 0.03) -> np.ndarray:
    return 0.1 * np.exp(noise * np.random.default_rng(seed).standard_normal(n))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("length", [1, 3, 12, 40])
def test_a_planted_warm_up_is_found(seed: int, length: int) -> None:
    seconds = steps(seed)
    seconds[:length] *= 2.0
    assert warm_up_length(seconds) == length


@pytest.mark.parametrize("seed", range(20))
def test_a_steady_series_has_no_warm_up_but_the_floor(seed: int) -> None:
    seconds = steps(seed)
    seconds[np.random.default_rng(seed).integers(50, 300, 6)] *= 3  # stragglers are no change
    assert warm_up_length(seconds) == 0
    assert warm_up_length(seconds, floor=5) == 5


def test_a_gradual_warm_up_goes_in_several_cuts() -> None:
    seconds = steps(0) * (1 + 2 * np.exp(-np.arange(300) / 8))
    assert 16 <= warm_up_length(seconds) <= 60


def test_short_and_empty_series() -> None:
    assert warm_up_length(np.array([1.0, 1.0]), floor=5) == 2
    assert warm_up_length(np.array([])) == 0
    assert warm_up_length(np.full(50, 0.1)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_drift_is_flagged_with_its_size(seed: int) -> None:
    seconds = steps(seed) * (1 + 0.1 * np.arange(300) / 300)
    assert drift(seconds) == pytest.approx(0.095, abs=0.025)
    assert drift(steps(seed)) == 0.0


def test_dependence_of_neighbouring_steps_is_flagged() -> None:
    seconds = steps(1)
    assert correlated(seconds) == 0.0
    slow = np.repeat(steps(2, 60), 5)
    assert correlated(slow) == pytest.approx(0.8, abs=0.1)


def test_outliers_are_counted_and_never_removed() -> None:
    seconds = steps(0, 200, noise=0.001)
    before = outliers(seconds)
    seconds[10] = 1.0
    assert outliers(seconds) == before + 1
    assert outliers(np.array([])) == 0
