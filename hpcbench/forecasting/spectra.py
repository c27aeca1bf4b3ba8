"""Does a long forecast live on the right attractor? Distances between statistics of two series.

Beyond the valid prediction time a forecast can still be right on average. The distances here
compare free-running forecasts with true series of the same sampling interval; they need no
common initial condition. Arrays are ``(row, time, component)`` in the system's units, each row an
uncut stretch. A forecast with values that are not finite is as far away as can be.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from hpcbench.embedding.correlation import autocorrelation

DIVERGED_SIGMA = 5.0
"""Distance from the mean, in standard deviations, at which a forecast has left the attractor."""

SMOOTHING_BINS = 20.0
"""Width of the Gaussian that smooths spectra before they are compared, in frequency bins."""

MAX_BINNED_COMPONENTS = 5
"""Components up to which the state space can be cut into bins."""

NUM_BINS = 30
PRIOR = 1e-5
"""Count added to every bin, so that an empty one does not make the divergence infinite."""

MAX_POINTS = 5000
NUM_MONTE_CARLO = 1000


def power_spectrum(states: np.ndarray) -> np.ndarray:
    """Return the power at each frequency in time, averaged over rows, ``(frequency, component)``.

    The mean over rows and time is removed; frequency k is ``k / (num_samples * interval)``.
    """
    centred = states - states.mean(axis=(0, 1))
    return np.asarray(np.mean(np.abs(np.fft.rfft(centred, axis=1)) ** 2, axis=0))


def spatial_spectrum(states: np.ndarray) -> np.ndarray:
    """Return the power at each wavenumber along the components, ``(wavenumber,)``."""
    return np.asarray(np.mean(np.abs(np.fft.rfft(states, axis=-1)) ** 2, axis=(0, 1)))


def decibel_distance(forecast: np.ndarray, truth: np.ndarray) -> float:
    r"""Return the mean difference of two spectra in decibels.

    .. math::

        \langle | 10 \log_{10} \hat P(k) - 10 \log_{10} P(k) | \rangle_k

    Parameters
    ----------
    forecast, truth
        Powers ``(frequency,)``; frequencies at which the truth has no more than the rounding
        of float32 relative to its largest are left out.

    Reference: Vlachas et al. (2020), Neural Networks 126, 191, doi:10.1016/j.neunet.2020.02.016.
    """
    if not np.all(np.isfinite(forecast)):
        return float("inf")
    floor = truth.max() * np.finfo(np.float32).eps ** 2
    seen = truth > floor
    level = np.log10(np.maximum(forecast[seen], floor)) - np.log10(truth[seen])
    return float(10 * np.mean(np.abs(level)))


def hellinger_distance(forecast: np.ndarray, truth: np.ndarray) -> float:
    r"""Return the Hellinger distance of two series' smoothed power spectra, between 0 and 1.

    .. math::

        H(p, q) = \frac{1}{\sqrt 2} \bigl\| \sqrt p - \sqrt q \bigr\|_2

    for the spectra of each component, smoothed and scaled to sum to one, averaged over
    components: the shape of the spectrum counts and its size does not.

    Reference: Mikhaeil, Monfared and Durstewitz (2022), NeurIPS 35, arXiv:2110.07238.
    """
    if not np.all(np.isfinite(forecast)):
        return 1.0
    assert forecast.shape[1] == truth.shape[1]
    shapes = []
    for states in (forecast, truth):
        smooth = gaussian_filter1d(power_spectrum(states), SMOOTHING_BINS, axis=0)
        total = smooth.sum(axis=0)
        # a component that stands still has no spectrum: all of it lies at frequency zero
        still = np.eye(len(smooth), 1) * np.ones_like(total)
        shapes.append(np.where(total > 0, smooth / np.where(total > 0, total, 1.0), still))
    gaps = np.sum((np.sqrt(shapes[0]) - np.sqrt(shapes[1])) ** 2, axis=0)
    return float(np.mean(np.sqrt(gaps / 2)))


def state_space_distance(forecast: np.ndarray, truth: np.ndarray, seed: int = 0) -> float:
    """Return the Kullback–Leibler divergence of where two series spend their time, in nats.

    Up to five components by counting (:func:`binned_divergence`), more by a mixture of Gaussians
    around the points (:func:`mixture_divergence`). The two are on different scales: compare
    values of one system only.
    """
    if not np.all(np.isfinite(forecast)):
        return float("inf")
    points = [
        states.reshape(-1, states.shape[-1]).astype(np.float64) for states in (truth, forecast)
    ]
    mean, std = points[0].mean(axis=0), points[0].std(axis=0)
    true, predicted = ((p - mean) / std for p in points)
    if true.shape[1] <= MAX_BINNED_COMPONENTS:
        return binned_divergence(true, predicted)
    return mixture_divergence(true, predicted, seed)


def binned_divergence(true: np.ndarray, predicted: np.ndarray) -> float:
    r"""Return the divergence of two point clouds by counting, after Koppe et al. (2019).

    .. math::

        D = \sum_k p_k \ln \frac{p_k}{q_k}, \qquad p_k = \frac{n_k + \alpha}{n + \alpha K}

    over 30 bins per component between the extremes of the true points, widened by a tenth of a
    standard deviation. Points outside share one more bin, so that leaving the attractor counts.

    Parameters
    ----------
    true, predicted
        Points ``(point, component)``, standardised by the true ones.
    """
    low, high = true.min(axis=0) - 0.1, true.max(axis=0) + 0.1
    total = NUM_BINS ** true.shape[1] + 1
    counts: list[dict[int, int]] = []
    for points in (true, predicted):
        cell = np.floor((points - low) / (high - low) * NUM_BINS)
        inside = np.all((cell >= 0) & (cell < NUM_BINS), axis=1)
        flat = np.full(len(points), total - 1, dtype=np.int64)
        weights = NUM_BINS ** np.arange(true.shape[1])
        flat[inside] = cell[inside].astype(np.int64) @ weights
        bins, number = np.unique(flat, return_counts=True)
        counts.append(dict(zip(bins.tolist(), number.tolist(), strict=True)))
    visited = sorted(counts[0].keys() | counts[1].keys())
    shares = []
    for count, points in zip(counts, (true, predicted), strict=True):
        scale = len(points) + PRIOR * total
        seen = (np.array([count.get(k, 0) for k in visited]) + PRIOR) / scale
        shares.append((seen, PRIOR / scale))
    (p, p_empty), (q, q_empty) = shares
    empty = (total - len(visited)) * p_empty * np.log(p_empty / q_empty)
    return float(np.sum(p * np.log(p / q)) + empty)


def mixture_divergence(true: np.ndarray, predicted: np.ndarray, seed: int = 0) -> float:
    r"""Return the divergence of two point clouds, each point spread by a unit Gaussian.

    .. math::

        D \approx \frac1n \sum_{i=1}^n \ln \frac{p(x_i)}{q(x_i)}, \quad x_i \sim p, \qquad
        p(x) = \frac1T \sum_t \mathcal N(x; x_t, I)

    Parameters
    ----------
    true, predicted
        Points ``(point, component)``, standardised by the true ones; of more than 5000 each, as
        many spread evenly over them are used.
    seed
        Of the random points :math:`x_i`.

    Reference: Hess, Monfared, Brenner and Durstewitz (2023), ICML, arXiv:2306.04406.
    """
    true, predicted = (_thin(points, MAX_POINTS) for points in (true, predicted))
    random = np.random.default_rng(seed)
    centres = true[random.integers(0, len(true), size=NUM_MONTE_CARLO)]
    samples = centres + random.normal(size=centres.shape)
    log_p, log_q = (
        logsumexp(-0.5 * cdist(samples, points, "sqeuclidean"), axis=1) - np.log(len(points))
        for points in (true, predicted)
    )
    return float(np.mean(log_p - log_q))


def divergence_rate(forecast: np.ndarray, mean: np.ndarray, std: np.ndarray) -> float:
    """Return the share of rows in which some component leaves the mean by five σ or more.

    ``mean`` and ``std`` are those of the training data, ``(component,)``.
    """
    with np.errstate(all="ignore"):
        inside = np.abs(forecast - mean) < DIVERGED_SIGMA * std
    return float(1 - np.mean(np.all(inside, axis=(1, 2))))


@dataclass(frozen=True)
class ClimateDistances:
    """How far the statistics of a long forecast are from the true ones; 0 is perfect.

    mean
        Root mean square over components of the difference of the means, in standard deviations.
    spread
        Mean over components of ``|σ̂ / σ - 1|``.
    distribution
        Wasserstein-1 distance of each component's distribution, in standard deviations,
        averaged over components.
    correlation
        Mean difference of the autocorrelations, over components and up to a quarter of a row.
    spectrum_hellinger, spectrum_decibel
        :func:`hellinger_distance` and :func:`decibel_distance` of the spectra in time.
    spatial_decibel
        :func:`decibel_distance` of the spectra along the components.
    state_space
        :func:`state_space_distance`.
    """

    mean: float
    spread: float
    distribution: float
    correlation: float
    spectrum_hellinger: float
    spectrum_decibel: float
    spatial_decibel: float
    state_space: float


def climate_distances(forecast: np.ndarray, truth: np.ndarray) -> ClimateDistances:
    """Compare the statistics of forecasts and truth ``(row, time, component)``."""
    from scipy.stats import wasserstein_distance  # takes longer to import than all the rest

    if not np.all(np.isfinite(forecast)):
        most = float("inf")
        return ClimateDistances(most, most, most, 2.0, 1.0, most, most, most)
    center, sigma = truth.mean(axis=(0, 1)), truth.std(axis=(0, 1))
    shifted = (forecast.mean(axis=(0, 1)) - center) / sigma
    components = range(truth.shape[-1])
    earth_movers = [
        wasserstein_distance(forecast[..., i].ravel(), truth[..., i].ravel()) / sigma[i]
        for i in components
    ]
    lags = truth.shape[1] // 4
    correlations = [
        np.abs(autocorrelation(forecast[..., i], lags) - autocorrelation(truth[..., i], lags))
        for i in components
    ]
    in_time = (power_spectrum(states).mean(axis=1) for states in (forecast, truth))
    return ClimateDistances(
        mean=float(np.sqrt(np.mean(shifted**2))),
        spread=float(np.mean(np.abs(forecast.std(axis=(0, 1)) / sigma - 1))),
        distribution=float(np.mean(earth_movers)),
        correlation=float(np.mean(correlations)),
        spectrum_hellinger=hellinger_distance(forecast, truth),
        spectrum_decibel=decibel_distance(*in_time),
        spatial_decibel=decibel_distance(spatial_spectrum(forecast), spatial_spectrum(truth)),
        state_space=state_space_distance(forecast, truth),
    )


def _thin(points: np.ndarray, number: int) -> np.ndarray:
    if len(points) <= number:
        return points
    return points[np.linspace(0, len(points) - 1, number).astype(np.int64)]
