"""Autocorrelation of a scalar series, the times read off it, and a test for what is left of it."""

import numpy as np
import scipy.fft
import scipy.special


def autocorrelation(rows: np.ndarray, max_lag: int) -> np.ndarray:
    r"""Return the autocorrelation at lags ``0 ... max_lag``, ``(max_lag + 1,)``.

    .. math::

        \rho(k) = \frac{\langle (x_t - \mu)(x_{t+k} - \mu) \rangle}{\langle (x_t - \mu)^2 \rangle}

    Averages run over all rows, and each lag's over the pairs it has. The mean :math:`\mu` is
    that of all rows together: the mean of one short row would hide its slowest correlations.

    Parameters
    ----------
    rows
        ``(row, time)`` with more than ``max_lag`` samples of time.
    max_lag
        Largest lag in samples.
    """
    rows = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    num_samples = rows.shape[1]
    assert 0 <= max_lag < num_samples
    centred = rows - rows.mean()
    # padding by max_lag keeps the circular convolution from wrapping round
    length = scipy.fft.next_fast_len(num_samples + max_lag, real=True)
    spectrum = scipy.fft.rfft(centred, length, axis=1)
    power = np.sum(spectrum.real**2 + spectrum.imag**2, axis=0)
    sums = scipy.fft.irfft(power, length)[: max_lag + 1]
    covariance = sums / (num_samples - np.arange(max_lag + 1))
    if covariance[0] <= 0:  # a constant series equals itself at every lag
        return np.ones(max_lag + 1)
    return np.asarray(covariance / covariance[0])


def decay_lag(correlation: np.ndarray) -> int | None:
    """Return the first lag at which a correlation has fallen below 1/e, None where it never does.

    It is given in whole samples: the first ``k`` with ``correlation[k] < correlation[0] / e``.
    """
    return _first(correlation < correlation[0] / np.e)


def zero_lag(correlation: np.ndarray) -> int | None:
    """Return the first lag at which a correlation is not positive, None where it never is."""
    return _first(correlation <= 0)


def persistence_error(lag_one: float) -> float:
    r"""Return the NRMSE of forecasting that nothing changes, :math:`\sqrt{2 (1 - \rho)}`."""
    return float(np.sqrt(max(0.0, 2.0 * (1.0 - lag_one))))


def ljung_box(rows: np.ndarray, num_lags: int) -> tuple[float, float]:
    r"""Test residuals for autocorrelation; return the statistic per lag and its p-value.

    .. math::

        Q = n (n + 2) \sum_{k=1}^{h} \frac{\rho(k)^2}{n - k} \sim \chi^2_h

    for white noise. ``Q / h`` is near one when nothing is left to predict linearly.

    Parameters
    ----------
    rows
        Residuals ``(row, time)``; ``n`` is their number over all rows.
    num_lags
        Number of lags ``h`` tested together.

    Reference: Ljung and Box (1978), Biometrika 65, 297, doi:10.1093/biomet/65.2.297.
    """
    rows = np.atleast_2d(rows)
    number = rows.size
    rho = autocorrelation(rows, num_lags)[1:]
    # rho is an average over pairs here; with one row this is the formula above
    pairs = number - rows.shape[0] * np.arange(1, num_lags + 1)
    statistic = (number + 2) / number * float(np.sum(pairs * rho**2))
    return statistic / num_lags, float(scipy.special.gammaincc(num_lags / 2, statistic / 2))


def _first(condition: np.ndarray) -> int | None:
    return int(np.argmax(condition)) if condition.any() else None
