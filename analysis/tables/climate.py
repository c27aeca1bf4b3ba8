"""Long-term behaviour of forecasts against the system: spectra and moments."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEAST_SAMPLES = 8


def spatial_spectrum(states: Array) -> tuple[Array, Array]:
    """Return the mean power of each wavenumber around a ring of components.

    P(k) = ⟨|x̂ₖ|²⟩/N² with the one-sided Fourier transform over components and the mean over
    every other axis.

    Parameters
    ----------
    states
        (…, component).
    """
    states = states.reshape(-1, states.shape[-1])
    power = np.abs(np.fft.rfft(states, axis=-1)) ** 2 / states.shape[-1] ** 2
    return np.arange(power.shape[-1]), power.mean(axis=0)


def climate_errors(truth: Array, forecast: Array) -> dict[str, float]:
    """Return how far the forecast's climate is from the truth's.

    ``climate_mean_error`` and ``climate_std_error`` in standard deviations of the truth, and
    ``spectrum_error``, the root-mean-square difference of the log₁₀ spectra over the wavenumbers
    that hold 99.9 % of the power.

    Parameters
    ----------
    truth, forecast
        (example, time, component); only finite forecasts count.
    """
    finite = np.isfinite(forecast).all(axis=-1)
    if truth.shape != forecast.shape or finite.sum() < LEAST_SAMPLES:
        return {}
    forecast = forecast[finite]
    scale = float(truth.std())
    if scale == 0:
        return {}
    (_, expected), (_, found) = spatial_spectrum(truth), spatial_spectrum(forecast)
    order = np.argsort(expected[1:])[::-1] + 1
    total = np.cumsum(expected[order])
    kept = order[: int(np.searchsorted(total, 0.999 * total[-1])) + 1]
    difference = np.log10(np.maximum(found[kept], 1e-30) / np.maximum(expected[kept], 1e-30))
    return {
        "climate_mean_error": float(forecast.mean() - truth.mean()) / scale,
        "climate_std_error": float(forecast.std()) / scale - 1.0,
        "spectrum_error": float(np.sqrt(np.mean(difference**2))),
    }
