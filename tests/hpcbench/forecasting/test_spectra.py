"""Distances between the statistics of two series: exact cases, limits and invariances."""

import numpy as np
import pytest

from hpcbench.forecasting.spectra import (
    binned_divergence,
    climate_distances,
    decibel_distance,
    divergence_rate,
    hellinger_distance,
    mixture_divergence,
    power_spectrum,
    spatial_spectrum,
    state_space_distance,
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def waves(frequency: float, num_components: int = 2) -> np.ndarray:
    """Sines of a frequency in cycles per sample, one random phase per row."""
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(6, 1, num_components))
    return np.sin(2 * np.pi * frequency * np.arange(1000)[:, None] + phase)


def test_power_is_that_of_parseval() -> None:
    states = noise(5, 64, 3)
    power = power_spectrum(states)
    both_sides = power[0] + 2 * power[1:-1].sum(axis=0) + power[-1]
    np.testing.assert_allclose(both_sides / 64**2, states.var(axis=(0, 1)), rtol=1e-12)
    assert np.argmax(power_spectrum(waves(0.1))[:, 0]) == 100
    space = np.cos(2 * np.pi * 3 * np.arange(16) / 16) * np.ones((2, 5, 1))
    assert np.argmax(spatial_spectrum(space)) == 3


def test_a_series_has_no_distance_to_itself() -> None:
    for components in (2, 8):
        states = noise(4, 400, components)
        found = climate_distances(states, states)
        assert all(value == pytest.approx(0, abs=1e-12) for value in vars(found).values())


def test_decibels_of_a_factor() -> None:
    power = np.array([4.0, 1.0, 0.25])
    assert decibel_distance(10 * power, power) == pytest.approx(10)
    assert decibel_distance(power / 100, power) == pytest.approx(20)
    nothing = np.array([4.0, 1.0, 1e-20])
    assert decibel_distance(np.array([4.0, 1.0, 1e-10]), nothing) == 0


def test_hellinger_distance_is_one_for_separate_spectra_and_ignores_size() -> None:
    assert hellinger_distance(waves(0.1), waves(0.4)) == pytest.approx(1, abs=1e-6)
    assert hellinger_distance(7 * waves(0.1) - 3, waves(0.1)) == pytest.approx(0, abs=1e-6)
    assert hellinger_distance(np.zeros((6, 1000, 2)), waves(0.1)) > 0.9
    near, far = (hellinger_distance(waves(f), waves(0.1)) for f in (0.11, 0.14))
    assert 0 < near < far < 1
    assert hellinger_distance(waves(0.11), waves(0.1)) == pytest.approx(
        hellinger_distance(waves(0.1), waves(0.11))
    )


@pytest.mark.parametrize("components", [1, 3, 8])
def test_state_space_distance_grows_with_a_shift(components: int) -> None:
    truth = noise(10, 400, components)
    other = noise(10, 400, components, seed=1)
    distances = [state_space_distance(other + shift, truth) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert np.all(np.diff(distances) > 0)


def test_binned_divergence_of_two_known_histograms() -> None:
    """Half and half against a tenth and nine tenths: ½ ln 5 + ½ ln 5/9."""
    true = np.repeat([[-1.0], [1.0]], 500, axis=0)
    predicted = np.repeat([[-1.0], [1.0]], [100, 900], axis=0)
    expected = 0.5 * np.log(5) + 0.5 * np.log(5 / 9)
    assert binned_divergence(true, predicted) == pytest.approx(expected, abs=1e-5)
    outside = np.concatenate([true, np.full((1000, 1), 9.0)])
    assert binned_divergence(true, outside) == pytest.approx(np.log(2), abs=1e-5)


def test_mixture_divergence_of_two_points() -> None:
    """Unit Gaussians a distance d apart diverge by d² / 2."""
    true, predicted = np.zeros((4, 7)), np.zeros((4, 7))
    predicted[:, 0] = 1.5
    found = mixture_divergence(true, predicted)
    assert found == pytest.approx(1.5**2 / 2, abs=4 * 1.5 / np.sqrt(1000))


def test_state_space_distance_ignores_order_and_units() -> None:
    truth, forecast = noise(5, 100, 3), 1.5 * noise(5, 100, 3, seed=1)
    expected = state_space_distance(forecast, truth)
    order = np.random.default_rng(2).permutation(100)
    assert state_space_distance(forecast[:, order], truth) == pytest.approx(expected)
    scale, shift = np.array([1.0, 20.0, 0.3]), np.array([5.0, 0.0, -7.0])
    moved = state_space_distance(forecast * scale + shift, truth * scale + shift)
    assert moved == pytest.approx(expected, abs=0.01)


def test_climate_of_a_shifted_and_widened_forecast() -> None:
    """Normal numbers: the Wasserstein distance of a shift is the shift."""
    truth = noise(20, 1000, 2)
    shifted = climate_distances(truth + np.array([0.3, -0.4]), truth)
    sigma = truth.std(axis=(0, 1))
    assert shifted.mean == pytest.approx(np.sqrt(np.mean((np.array([0.3, 0.4]) / sigma) ** 2)))
    assert shifted.distribution == pytest.approx(np.mean(np.array([0.3, 0.4]) / sigma))
    assert shifted.spread == pytest.approx(0, abs=1e-12)
    assert shifted.correlation == pytest.approx(0, abs=1e-12)
    wide = climate_distances(2 * truth, truth)
    assert wide.spread == pytest.approx(1)
    assert wide.spectrum_decibel == pytest.approx(10 * np.log10(4))
    slow = climate_distances(np.repeat(truth[:, :500], 2, axis=1), truth)
    assert slow.correlation > 0.001
    assert slow.spectrum_hellinger > 0.1


def test_a_forecast_that_is_not_finite_is_as_far_as_can_be() -> None:
    truth = noise(2, 100, 2)
    broken = truth.copy()
    broken[0, 50:] = np.nan
    found = climate_distances(broken, truth)
    assert found.state_space == np.inf
    assert found.spectrum_hellinger == hellinger_distance(broken, truth) == 1
    assert decibel_distance(np.array([np.nan]), np.array([1.0])) == np.inf
    assert state_space_distance(broken, truth) == np.inf


def test_divergence_rate_counts_rows_that_leave() -> None:
    mean, std = np.array([1.0, -1.0]), np.array([1.0, 2.0])
    rows = np.tile(mean, (4, 10, 1))
    assert divergence_rate(rows, mean, std) == 0
    rows[0, 3, 1] = 9.1
    rows[1, 9] = np.nan
    rows[2, 5] += 4.9 * std
    rows[3, 0, 0] = np.inf
    assert divergence_rate(rows, mean, std) == 0.75
