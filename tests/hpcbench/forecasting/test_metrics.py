"""NRMSE and valid prediction time against numbers computed by hand."""

import numpy as np
import pytest

from hpcbench.forecasting.metrics import climatology, nrmse, persistence, valid_prediction_time


def test_nrmse_of_a_hand_computed_example() -> None:
    truth = np.array([[0.0, 0.0], [1.0, 2.0]])
    forecast = np.array([[3.0, 0.0], [1.0, 6.0]])
    std = np.array([1.0, 2.0])
    # sqrt((3²/1² + 0)/2) and sqrt((0 + 4²/2²)/2)
    expected = [np.sqrt(4.5), np.sqrt(2.0)]
    np.testing.assert_allclose(nrmse(forecast, truth, std), expected, rtol=1e-15)


def test_valid_prediction_time_of_a_hand_computed_example() -> None:
    error = np.array([0.1, 0.2, 0.49, 0.5, 0.1])
    vpt, censored = valid_prediction_time(error, sample_interval=0.25, lyapunov_exponent=2.0)
    # three leading samples stay below 0.5: 3 x 0.25 x 2 Lyapunov times; later dips do not count
    assert vpt == pytest.approx(1.5, abs=1e-15)
    assert not censored


def test_a_forecast_valid_to_the_end_is_censored() -> None:
    error = np.array([[0.1, 0.2], [0.1, 0.6], [0.7, 0.1]])
    vpt, censored = valid_prediction_time(error, 1.0, 1.0)
    assert vpt.tolist() == [2.0, 1.0, 0.0]
    assert censored.tolist() == [True, False, False]


def test_the_threshold_is_the_callers() -> None:
    error = np.array([0.1, 0.3, 0.45])
    assert valid_prediction_time(error, 1.0, 1.0, threshold=0.4)[0] == 2.0


def test_a_forecast_that_blows_up_is_invalid_and_never_a_number_too_large() -> None:
    truth = np.zeros((3, 2))
    forecast = np.array([[0.1, 0.1], [np.nan, 0.0], [1e200, 0.0]])
    error = nrmse(forecast, truth, np.ones(2))
    assert error[0] == pytest.approx(0.1)
    assert np.isinf(error[1:]).all()
    assert valid_prediction_time(error, 1.0, 1.0)[0] == 1.0


def test_baselines() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(4, 50_000, 2)) * [1.0, 3.0] + [0.0, 5.0]
    std = np.array([1.0, 3.0])
    mean = np.array([0.0, 5.0])
    # of independent samples: sqrt(2) for persistence on average, 1 for the mean
    climate = nrmse(climatology(mean, truth), truth, std)
    assert np.sqrt(np.mean(climate**2)) == pytest.approx(1.0, rel=0.01)
    still = nrmse(persistence(truth[:, 0], truth), truth, std)
    assert (still[:, 0] == 0).all()
    np.testing.assert_array_equal(persistence(truth[:, 0], truth)[:, 7], truth[:, 0])
