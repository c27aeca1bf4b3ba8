"""How good a forecast is: error over time and valid prediction time.

Arrays are ``(..., time, component)`` in the system's units; the first forecast sample lies one
sample interval after the last true one.
"""

import numpy as np


def nrmse(forecast: np.ndarray, truth: np.ndarray, std: np.ndarray) -> np.ndarray:
    r"""Return the normalised root-mean-square error of every sample, ``(..., time)``.

    .. math::

        \mathrm{NRMSE}(t) = \sqrt{\frac1D \sum_i \frac{(\hat x_i(t) - x_i(t))^2}{\sigma_i^2}}

    with :math:`\sigma_i` the standard deviation ``(component,)`` of the training data. An
    error that is no number (a forecast that has blown up) counts as infinite.
    """
    with np.errstate(all="ignore"):
        scaled = (np.asarray(forecast, np.float64) - truth) / std
        error = np.sqrt(np.mean(scaled**2, axis=-1))
    return np.where(np.isnan(error), np.inf, error)


def valid_prediction_time(
    error: np.ndarray,
    sample_interval: float,
    lyapunov_exponent: float,
    threshold: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the valid prediction time in Lyapunov times, and whether it is censored.

    .. math::

        \mathrm{VPT} = n\, \Delta t\, \lambda_1

    with :math:`n` the number of leading samples whose error is below the threshold (Vlachas et
    al. 2020). A forecast still valid at the end of the data is *censored*: its true valid
    prediction time is at least the value given.

    Parameters
    ----------
    error
        NRMSE ``(..., time)``.
    sample_interval
        Model time between samples.
    lyapunov_exponent
        Largest Lyapunov exponent, per unit of model time.
    threshold
        The error that ends a valid forecast.
    """
    valid = np.asarray(error) < threshold
    leading = np.cumprod(valid, axis=-1).sum(axis=-1)
    return leading * sample_interval * lyapunov_exponent, leading == valid.shape[-1]


def persistence(last: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the forecast that nothing changes: ``last (..., component)`` at every sample."""
    return np.broadcast_to(last[..., None, :], truth.shape)


def climatology(mean: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the forecast of the training mean ``(component,)`` at every sample."""
    return np.broadcast_to(mean, truth.shape)
