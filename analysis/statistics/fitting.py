"""Fits of scaling laws to measured times: estimate, interval, and whether there is one at all.

Weighted non-linear least squares on log times (lmfit), on the centre of the runs at each point
(Hodges–Lehmann: a straggler moves it little, and its spread can be told from few runs).
Intervals come from resampling the runs at every point; AICc and the error in predicting a left-out
number of ranks choose between laws.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lmfit
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.intervals import (
    CONFIDENCE,
    RESAMPLING_SEED,
    Interval,
    centre,
    percentile_interval,
)
from analysis.statistics.laws import Law

Array = npt.NDArray[Any]

NUM_RESAMPLES = 400
NUM_REFINEMENTS = 6
LEAST_POINTS = {1: 3, 2: 4, 3: 5}
"""Distinct points a law with so many parameters needs."""

PROJECTION_FACTOR = 2.0
"""Times the largest measured number of ranks beyond which a curve is a projection."""


@dataclass(frozen=True)
class Fit:
    """A law fitted to times.

    Attributes
    ----------
    law
        The law.
    parameters
        Each parameter with its interval.
    not_identifiable
        Parameter → reason, for those the data cannot tell; the law itself under ``""``.
    aicc
        Corrected Akaike criterion over all runs; only differences mean something.
    left_out_error
        Root-mean-square log error in predicting each point from the others.
    samples
        Resampled parameters, (sample, parameter), for bands.
    largest
        Largest measured value of each variable.
    points
        The centres the law was fitted to, with ``seconds``, ``n``, ``fitted`` and ``residual``
        (log ratio).
    """

    law: Law
    parameters: dict[str, Interval]
    not_identifiable: dict[str, str]
    aicc: float
    left_out_error: float
    samples: Array
    largest: dict[str, float]
    points: pd.DataFrame

    @property
    def identifiable(self) -> bool:
        """Whether every parameter could be told."""
        return not self.not_identifiable

    def predict(self, **variables: Any) -> pd.DataFrame:
        """Return ``seconds``, ``low``, ``high`` and ``is_projection`` at new variables.

        Beyond twice the largest measured number of ranks the curve is a projection.
        """
        values = {name: np.atleast_1d(np.asarray(v, float)) for name, v in variables.items()}
        estimate = [interval.value for interval in self.parameters.values()]
        seconds = self.law.seconds(values, *estimate)
        curves = self.law.seconds(values, *(column[:, None] for column in self.samples.T))
        tail = 50 * (1 - CONFIDENCE)
        low, high = np.percentile(curves, [tail, 100 - tail], axis=0)
        is_projection = np.zeros(len(seconds), dtype=bool)
        if "ranks" in values:
            is_projection = values["ranks"] > PROJECTION_FACTOR * self.largest["ranks"]
        frame = pd.DataFrame({**values, "seconds": seconds, "low": low, "high": high})
        return frame.assign(is_projection=is_projection)


def centres(runs: pd.DataFrame, variables: Sequence[str]) -> tuple[pd.DataFrame, list[Array]]:
    """Return the central time of each distinct point, its count, and the runs behind it."""
    groups = list(runs.groupby(list(variables), sort=True))
    frame = pd.DataFrame(
        [dict(zip(variables, np.atleast_1d(np.asarray(key)), strict=True)) for key, _ in groups],
        columns=list(variables), dtype=float,
    )  # fmt: skip
    values = [np.log(group["seconds"].to_numpy(dtype=float)) for _, group in groups]
    frame["seconds"] = [math.exp(float(centre(value))) for value in values]
    frame["n"] = [len(value) for value in values]
    return frame, values


def fit(law: Law, runs: pd.DataFrame, cross_validate: bool = True) -> Fit:
    """Fit a law to runs.

    Parameters
    ----------
    law
        What to fit.
    runs
        One row per run: the law's variables and ``seconds`` (positive).
    cross_validate
        Whether to predict each point from the others, which takes most of the time.

    Returns
    -------
    Fit
        With NaN parameters and the reason where there are too few distinct points.
    """
    kept = runs[np.isfinite(runs["seconds"]) & (runs["seconds"] > 0)]
    points, logs = centres(kept, law.variables)
    needed = LEAST_POINTS[len(law.parameters)]
    variables = {name: points[name].to_numpy() for name in law.variables}
    largest = {name: float(points[name].max()) if len(points) else math.nan for name in variables}
    if len(points) < needed:
        nothing = Interval(math.nan, math.nan, math.nan, len(kept))
        reason = f"{len(points)} distinct points; {len(law.parameters)} parameters need {needed}"
        return Fit(law, dict.fromkeys(law.parameters, nothing), {"": reason}, math.nan, math.nan,
                   np.empty((0, len(law.parameters))), largest, points)  # fmt: skip
    estimate = least_squares(law, variables, points["seconds"].to_numpy(), points["n"].to_numpy())
    samples = resample(law, variables, logs, estimate)
    parameters = {
        name: percentile_interval(float(value), samples[:, i], len(kept))
        for i, (name, value) in enumerate(zip(law.parameters, estimate, strict=True))
    }
    fitted = law.seconds(variables, *estimate)
    points = points.assign(fitted=fitted, residual=np.log(points["seconds"] / fitted))
    residuals = np.concatenate(
        [value - math.log(middle) for value, middle in zip(logs, fitted, strict=True)]
    )
    return Fit(
        law=law,
        parameters=parameters,
        not_identifiable=unidentified(law, parameters, int(points["n"].max())),
        aicc=aicc(residuals, len(estimate)),
        left_out_error=left_out_error(law, variables, points) if cross_validate else math.nan,
        samples=samples,
        largest=largest,
        points=points,
    )


def least_squares(law: Law, variables: Mapping[str, Array], seconds: Array, counts: Array) -> Array:
    """Return the parameters with the least weighted squares of log residuals, inside bounds."""
    guesses = law.start(variables, seconds)
    parameters = lmfit.Parameters()
    for name, guess in zip(law.parameters, guesses, strict=True):
        low, high = law.bounds[name]
        scale = abs(guess) or 1.0
        # Parameters are fitted in units of their guess, so that seconds per byte and shares
        # weigh alike in the optimiser's tolerances.
        parameters.add(name, value=guess / scale, min=low / scale, max=high / scale)
    scales = np.array([abs(guess) or 1.0 for guess in guesses])
    weights = np.sqrt(counts)

    def residual(values: Any) -> Array:
        theta = [float(values[name]) * s for name, s in zip(law.parameters, scales, strict=True)]
        error = weights * np.log(law.seconds(variables, *theta) / seconds)
        return np.nan_to_num(error, nan=1e3, posinf=1e3, neginf=-1e3)

    # lmfit's own covariance, which is not used, divides by zero when the fit is exact.
    with np.errstate(all="ignore"):
        result = lmfit.minimize(
            residual, parameters, method="least_squares", calc_covar=False, max_nfev=2000
        )
    return np.array([result.params[name].value for name in law.parameters]) * scales


def resample(
    law: Law, variables: Mapping[str, Array], logs: Sequence[Array], estimate: Array
) -> Array:
    """Refit resampled runs, all resamples at once, (sample, parameter).

    Each resample draws runs with replacement at every point and takes their centre. Refitting is
    done by damped Gauss–Newton steps from the estimate, which stays near: lmfit would take
    minutes for what this does in milliseconds.
    """
    rng = np.random.default_rng(RESAMPLING_SEED)
    targets = np.stack([resampled_centres(value, rng) for value in logs], axis=1)
    weights = np.sqrt([len(value) for value in logs])
    low, high = (np.array([law.bounds[name][i] for name in law.parameters]) for i in (0, 1))
    scale = np.maximum(np.abs(estimate), 1e-6 * np.abs(estimate).max())
    theta = np.repeat(estimate[None], NUM_RESAMPLES, axis=0)
    for _ in range(NUM_REFINEMENTS):
        model = log_seconds(law, variables, theta)
        residual = weights * (targets - model)
        jacobian = np.stack(
            [
                (log_seconds(law, variables, theta + step) - model) * weights / 1e-6
                for step in 1e-6 * np.diag(scale)
            ],
            axis=2,
        )
        normal = np.einsum("bpi,bpj->bij", jacobian, jacobian)
        normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(len(scale))
        moment = np.einsum("bpi,bp->bi", jacobian, residual)
        move = np.linalg.solve(normal, moment[..., None])[..., 0] * scale
        theta = np.clip(theta + move, low, high)
    return theta


def resampled_centres(values: Array, rng: np.random.Generator) -> Array:
    """Return centres of resampled values, their spread widened by √(n/(n − 1)), (sample,).

    Resampling n values shows the spread that n − 1 would have; see Hesterberg,
    doi:10.1080/00031305.2015.1089789.
    """
    n = len(values)
    middle = centre(values)
    drawn = centre(values[rng.integers(0, n, (NUM_RESAMPLES, n))])
    return np.asarray(middle + (drawn - middle) * math.sqrt(n / max(n - 1, 1)))


def log_seconds(law: Law, variables: Mapping[str, Array], theta: Array) -> Array:
    """Return log times of many parameter sets, (sample, point)."""
    seconds = law.seconds(variables, *(column[:, None] for column in theta.T))
    return np.log(np.maximum(seconds, 1e-30))


def unidentified(law: Law, parameters: Mapping[str, Interval], most_runs: int) -> dict[str, str]:
    """Return the parameters whose interval reaches a bound, with what is known of them."""
    if most_runs < 2:
        return {"": "one run at every point: no spread to resample"}
    reasons = {}
    for name, interval in parameters.items():
        low, high = law.bounds[name]
        tolerance = 1e-6 * max(abs(interval.value), interval.high - interval.low, 1e-30)
        if interval.low <= low + tolerance:
            reasons[name] = f"the interval reaches its bound {low:g}: at most {interval.high:.3g}"
        elif interval.high >= high - tolerance:
            reasons[name] = f"the interval reaches its bound {high:g}: at least {interval.low:.3g}"
    return reasons


def aicc(residuals: Array, num_parameters: int) -> float:
    """Return n log(RSS/n) + 2k + 2k(k + 1)/(n − k − 1), k counting the noise; inf if undefined."""
    n, k = len(residuals), num_parameters + 1
    if n - k - 1 <= 0:
        return math.inf
    variance = max(float(residuals @ residuals) / n, 1e-30)
    return n * math.log(variance) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def left_out_error(law: Law, variables: Mapping[str, Array], points: pd.DataFrame) -> float:
    """Return the log error with which each point is predicted from all others."""
    seconds, counts = points["seconds"].to_numpy(), points["n"].to_numpy()
    errors = []
    for i in range(len(points)):
        others = np.arange(len(points)) != i
        rest = {name: value[others] for name, value in variables.items()}
        theta = least_squares(law, rest, seconds[others], counts[others])
        one = {name: value[i : i + 1] for name, value in variables.items()}
        errors.append(float(np.log(law.seconds(one, *theta)[0] / seconds[i])))
    return float(np.sqrt(np.mean(np.square(errors))))


def fit_all(laws: Iterable[Law], runs: pd.DataFrame) -> list[Fit]:
    """Fit several laws, the best first: by AICc, then by the left-out error.

    Laws with too few points come last, with the reason.
    """
    fits = [fit(law, runs) for law in laws]
    usable = [f for f in fits if math.isfinite(f.left_out_error)]
    few = [f for f in fits if not math.isfinite(f.left_out_error)]
    return sorted(usable, key=lambda f: (f.aicc, f.left_out_error)) + few


def fit_table(fits: Sequence[Fit]) -> pd.DataFrame:
    """Return a row per law and parameter, with the interval or why there is none."""
    rows = [
        {
            "law": f.law.name, "equation": f.law.equation, "parameter": name,
            "value": interval.value, "low": interval.low, "high": interval.high,
            "not_identifiable": f.not_identifiable.get(name, f.not_identifiable.get("", "")),
            "aicc": f.aicc, "left_out_error": f.left_out_error, "points": len(f.points),
        }
        for f in fits
        for name, interval in f.parameters.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)
