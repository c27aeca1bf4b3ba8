"""Autocorrelation, mutual information and Ljung–Box against processes whose values are known."""

import numpy as np
import pytest
import scipy.signal

from hpcbench.embedding.correlation import (
    autocorrelation,
    decay_lag,
    ljung_box,
    persistence_error,
    zero_lag,
)
from hpcbench.embedding.information import (
    equiprobable_bins,
    information_delay,
    mutual_information,
)


def autoregression(coefficient: float, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A stationary first-order autoregression, one realisation per row."""
    noise = np.random.default_rng(seed).normal(size=(shape[0], shape[1] + 500))
    return scipy.signal.lfilter([1.0], [1.0, -coefficient], noise, axis=1)[:, 500:]


def test_autocorrelation_is_its_definition() -> None:
    rows = np.random.default_rng(1).normal(size=(3, 50)).cumsum(axis=1)
    centred = rows - rows.mean()
    found = autocorrelation(rows, 49)
    for lag in range(50):
        pairs = centred[:, : 50 - lag] * centred[:, lag:]
        assert found[lag] == pytest.approx(pairs.mean() / (centred**2).mean(), abs=1e-13)


def test_autocorrelation_of_an_autoregression_decays_geometrically() -> None:
    found = autocorrelation(autoregression(0.9, (50, 20_000)), 30)
    np.testing.assert_allclose(found, 0.9 ** np.arange(31), atol=0.02)
    assert decay_lag(found) == 10  # 0.9¹⁰ = 0.349 < 1/e < 0.9⁹
    assert zero_lag(found) is None


def test_autocorrelation_of_white_noise_is_one_then_nothing() -> None:
    found = autocorrelation(np.random.default_rng(0).normal(size=(20, 5000)), 20)
    assert found[0] == 1
    assert np.abs(found[1:]).max() < 4 / np.sqrt(100_000)
    assert decay_lag(found) == 1


def test_autocorrelation_of_a_sine_is_a_cosine() -> None:
    lag = np.arange(101)
    found = autocorrelation(np.sin(2 * np.pi * np.arange(100_000) / 100)[None], 100)
    np.testing.assert_allclose(found, np.cos(2 * np.pi * lag / 100), atol=2e-3)
    assert zero_lag(found) in (25, 26)
    assert decay_lag(found) == 20  # acos(1/e) / 2π = 0.190


def test_a_constant_series_never_decorrelates() -> None:
    found = autocorrelation(np.full((2, 20), 3.0), 5)
    np.testing.assert_array_equal(found, 1)
    assert decay_lag(found) is None


def test_autocorrelation_and_information_ignore_affine_changes() -> None:
    rows = autoregression(0.7, (4, 2000))
    changed = -3.0 * rows + 11.0
    np.testing.assert_allclose(autocorrelation(rows, 9), autocorrelation(changed, 9), atol=1e-12)
    np.testing.assert_allclose(
        mutual_information(rows, 9), mutual_information(changed, 9), atol=1e-12
    )


def test_information_ignores_the_order_of_rows_and_any_increasing_change() -> None:
    rows = autoregression(0.7, (4, 2000))
    found = mutual_information(rows, 9)
    np.testing.assert_allclose(mutual_information(rows[[2, 0, 3, 1]], 9), found, atol=1e-12)
    np.testing.assert_allclose(mutual_information(np.exp(rows), 9), found, atol=1e-12)


def test_bins_hold_equally_many_values() -> None:
    bins = equiprobable_bins(np.random.default_rng(0).exponential(size=(5, 640)), 32)
    np.testing.assert_array_equal(np.bincount(bins.ravel()), 100)


def test_information_at_lag_zero_is_the_entropy() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 3200))
    assert mutual_information(rows, 0)[0] == pytest.approx(np.log(32), abs=1e-12)


def test_information_of_white_noise_is_its_bias_only() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 10_000))
    found = mutual_information(rows, 5)[1:]
    np.testing.assert_allclose(found, 31**2 / (2 * rows.size), rtol=0.1)


def test_information_of_gaussian_pairs() -> None:
    """-½ ln(1 - ρ²) for Gaussian pairs; binning loses a little of it."""
    rows = autoregression(0.8, (100, 10_000))
    found = mutual_information(rows, 3)
    exact = -0.5 * np.log(1 - 0.8 ** (2 * np.arange(1, 4)))
    np.testing.assert_allclose(found[1:], exact, rtol=0.03)


def test_first_minimum_and_its_fallback() -> None:
    lag = np.arange(60)
    wave = 2.0 + np.cos(2 * np.pi * lag / 30) * np.exp(-lag / 40)
    assert information_delay(wave).rule == "minimum"
    assert information_delay(wave).lag in (14, 15)
    decay = np.exp(-lag / 10) + 1e-4 * np.random.default_rng(0).normal(size=60)
    assert information_delay(decay).rule == "decay"
    assert information_delay(decay).lag in (10, 11)
    flat = information_delay(np.linspace(1.0, 0.9, 60))
    assert (flat.lag, flat.rule) == (None, "none")


def test_ljung_box_is_the_published_formula_for_one_row() -> None:
    row = autoregression(0.2, (1, 400))[0]
    row = row - row.mean()
    number, total = len(row), 0.0
    for lag in range(1, 11):
        rho = np.sum(row[:-lag] * row[lag:]) / np.sum(row**2)
        total += rho**2 / (number - lag)
    expected = number * (number + 2) * total
    assert ljung_box(row[None], 10)[0] == pytest.approx(expected / 10, rel=1e-10)


def test_ljung_box_accepts_white_noise_and_refuses_an_autoregression() -> None:
    """Over many white series p is uniform: its mean within 3 σ of one half."""
    noise = np.random.default_rng(0).normal(size=(400, 2, 500))
    p = np.array([ljung_box(rows, 8)[1] for rows in noise])
    assert abs(p.mean() - 0.5) < 3 / np.sqrt(12 * len(p))
    assert ljung_box(autoregression(0.3, (2, 2000)), 8)[1] < 1e-6


def test_persistence_error_of_an_autoregression() -> None:
    rows = autoregression(0.9, (20, 20_000))
    measured = np.sqrt(np.mean(np.diff(rows, axis=1) ** 2)) / rows.std()
    assert persistence_error(autocorrelation(rows, 1)[1]) == pytest.approx(measured, rel=1e-3)
