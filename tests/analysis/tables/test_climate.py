import numpy as np
import pytest

from analysis.tables.climate import climate_errors, spatial_spectrum


def test_the_spectrum_of_a_wave_is_one_line() -> None:
    x = np.arange(32) * 2 * np.pi / 32
    wavenumber, power = spatial_spectrum(3 * np.cos(5 * x)[None])
    assert power[5] == pytest.approx(9 / 4)
    assert np.delete(power, 5) == pytest.approx(np.zeros(16), abs=1e-12)
    assert list(wavenumber) == list(range(17))


def test_a_perfect_climate_has_no_error_and_a_damped_one_shows() -> None:
    truth = np.random.default_rng(0).standard_normal((3, 100, 16))
    assert climate_errors(truth, truth) == pytest.approx(
        {"climate_mean_error": 0.0, "climate_std_error": 0.0, "spectrum_error": 0.0}
    )
    damped = climate_errors(truth, truth / 2 + 1)
    assert damped["climate_std_error"] == pytest.approx(-0.5)
    assert damped["spectrum_error"] == pytest.approx(np.log10(4), rel=0.01)


def test_exploded_forecasts_count_as_far_as_they_are_finite() -> None:
    truth = np.random.default_rng(0).standard_normal((2, 20, 8))
    forecast = truth.copy()
    forecast[:, 10:] = np.nan
    assert np.isfinite(list(climate_errors(truth, forecast).values())).all()
    assert climate_errors(truth, np.full_like(truth, np.nan)) == {}
    assert climate_errors(truth, truth[:, :5]) == {}
    assert climate_errors(np.ones((1, 9, 4)), np.ones((1, 9, 4))) == {}
