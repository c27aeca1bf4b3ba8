"""What the embedding tools say about a dataset: correlation times, dimension, scores, advice.

Conventions of all files of this room: ``rows`` of a scalar series are ``(row, time)``, each row an
uncut stretch of the same process; states are ``(..., time, component)``; lags and delays count
samples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcbench.data.dataset import Dataset
from hpcbench.embedding.components import PrincipalComponents
from hpcbench.embedding.correlation import autocorrelation, decay_lag, zero_lag
from hpcbench.embedding.delays import subsample_phases
from hpcbench.embedding.information import InformationDelay, information_delay, mutual_information
from hpcbench.embedding.neighbours import Unfolding, unfold
from hpcbench.embedding.reduction import training_components
from hpcbench.embedding.scores import SCORES, Scores, mean_scores, score_rows
from hpcbench.errors import InputError

STRIDES = (1, 2, 5, 10, 20, 40)
"""Sampling intervals that are scored, in samples of the dataset."""

VARIANCE_SHARES = (0.9, 0.95, 0.99)
MIN_SERIES = 100
"""Samples below which nothing can be said of correlations in time."""

MIN_WINDOWS_LEFT = 8
"""Windows that a scored sub-series must at least hold."""


@dataclass(frozen=True)
class Effort:
    """How much of a dataset is looked at.

    num_components
        Components, evenly spaced, whose curves and scores are averaged.
    num_samples
        Samples of each of them, over as many whole trajectories as that takes.
    num_states
        States that enter the principal components.
    max_dimension
        Largest number of delays that is tried.
    window
        Samples in a scored window.
    """

    num_components: int = 4
    num_samples: int = 100_000
    num_states: int = 100_000
    max_dimension: int = 8
    window: int = 8


@dataclass(frozen=True)
class Diagnosis:
    """Embedding diagnostics of a dataset; lags are in its samples.

    components
        Indices of the components that were looked at.
    correlation, information
        Averages over these components at lags ``0 ... max_lag``.
    information_lag
        The delay that the mutual information suggests, and the rule that found it.
    unfolding
        False neighbours and Cao's measures at that delay, for the first of the components;
        None where no delay was found or the trajectories are too short for it.
    principal
        Principal components of the whole state.
    scores
        Stride in samples → scores of windows of the strided series.
    """

    effort: Effort
    sample_interval: float
    lyapunov_exponent: float | None
    components: np.ndarray
    correlation: np.ndarray
    information: np.ndarray
    information_lag: InformationDelay
    unfolding: Unfolding | None
    principal: PrincipalComponents
    scores: dict[int, Scores]

    @property
    def decay_lag(self) -> int | None:
        """First lag at which the autocorrelation is below 1/e."""
        return decay_lag(self.correlation)

    @property
    def zero_lag(self) -> int | None:
        """First lag at which the autocorrelation is not positive."""
        return zero_lag(self.correlation)

    @property
    def recommended_lag(self) -> int | None:
        """Delay that the mutual information suggests, else where the autocorrelation is 1/e."""
        return self.information_lag.lag or self.decay_lag

    def rule(self) -> str:
        """Say in words where the recommended delay comes from."""
        if self.information_lag.rule == "minimum":
            return "first minimum of the mutual information"
        if self.information_lag.rule == "decay":
            return "mutual information below I(0)/e; it has no first minimum"
        return "autocorrelation below 1/e; the mutual information stays above I(0)/e"

    def results(self) -> list[dict[str, Any]]:
        """Return everything as a list of name, value and unit."""
        table: list[tuple[str, Any, str]] = []
        for name, lag in (
            ("autocorrelation_decay", self.decay_lag),
            ("autocorrelation_zero", self.zero_lag),
            (f"information_{self.information_lag.rule}", self.information_lag.lag),
            ("recommended_delay", self.recommended_lag),
        ):
            table += self._times(name, lag)
        table.append(("recommended_delay.rule", self.rule(), ""))
        if self.unfolding is not None:
            table += [
                ("dimension_false_neighbours", self.unfolding.false_dimension(), "delays"),
                ("dimension_cao", self.unfolding.cao_dimension(), "delays"),
            ]
        for share in VARIANCE_SHARES:
            number = self.principal.number_for(share)
            total = len(self.principal.mean)
            table.append((f"components_{100 * share:g}_percent", number, f"of {total} components"))
        for stride, scores in self.scores.items():
            for score, (field, _) in SCORES.items():
                table.append((f"{score}_{field}.stride_{stride}", getattr(scores, field), ""))
        return [{"name": name, "value": value, "unit": unit} for name, value, unit in table]

    def _times(self, name: str, lag: int | None) -> list[tuple[str, Any, str]]:
        time = None if lag is None else lag * self.sample_interval
        rows: list[tuple[str, Any, str]] = [
            (f"{name}.samples", lag, "samples"),
            (f"{name}.model_time", time, "model time units"),
        ]
        if self.lyapunov_exponent:
            units = None if time is None else time * self.lyapunov_exponent
            rows.append((f"{name}.lyapunov_times", units, "Lyapunov times"))
        return rows


def diagnose(
    dataset: Dataset,
    component: int | None = None,
    max_lag: int | None = None,
    effort: Effort | None = None,
) -> Diagnosis:
    """Diagnose the training trajectories of a dataset.

    Parameters
    ----------
    dataset
        Open dataset.
    component
        The only component to look at; by default a few, evenly spaced.
    max_lag
        Largest lag in samples; by default two Lyapunov times where the exponent is known, at
        most half a trajectory.

    Raises
    ------
    InputError
        The component or the lag does not exist, the trajectories are too short, or a component
        does not change.
    """
    effort = effort or Effort()
    if dataset.num_samples < MIN_SERIES:
        raise InputError(
            f"{dataset.path}: trajectories have {dataset.num_samples} samples; correlations in "
            f"time need at least {MIN_SERIES}"
        )
    chosen = _components(dataset, component, effort)
    lags = _max_lag(dataset, max_lag)
    series = _series(dataset, chosen, effort)
    correlation = np.mean([autocorrelation(rows, lags) for rows in series], axis=0)
    information = np.mean([mutual_information(rows, lags) for rows in series], axis=0)
    suggestion = information_delay(information)
    delay = suggestion.lag or decay_lag(correlation)
    spacing = zero_lag(correlation) or decay_lag(correlation) or lags
    unfolding = None
    if delay is not None and dataset.num_samples > (effort.max_dimension + 1) * delay:
        unfolding = unfold(series[0], delay, effort.max_dimension, spacing)
    longest = dataset.num_samples // (effort.window * MIN_WINDOWS_LEFT)
    return Diagnosis(
        effort=effort,
        sample_interval=dataset.sample_interval,
        lyapunov_exponent=dataset.lyapunov_exponent,
        components=chosen,
        correlation=correlation,
        information=information,
        information_lag=suggestion,
        unfolding=unfolding,
        principal=training_components(dataset, effort.num_states),
        scores={
            stride: mean_scores([_score(rows, stride, effort.window) for rows in series])
            for stride in STRIDES
            if stride <= max(1, longest)
        },
    )


def score_windows(dataset: Dataset, effort: Effort) -> Scores:
    """Return the scores of windows of consecutive samples, averaged over a few components.

    Raises :class:`InputError` where one of these does not change.
    """
    series = _series(dataset, _components(dataset, None, effort), effort)
    return mean_scores([_score(rows, 1, effort.window) for rows in series])


def _components(dataset: Dataset, component: int | None, effort: Effort) -> np.ndarray:
    total = dataset.num_components
    if component is None:
        count = min(effort.num_components, total)
        chosen = np.arange(count) * total // count
    elif 0 <= component < total:
        chosen = np.array([component])
    else:
        raise InputError(
            f"--component: given {component}, but {dataset.path} has the components 0 to "
            f"{total - 1}"
        )
    for index in chosen:
        if dataset.std[index] <= 0:
            raise InputError(
                f"{dataset.path}: component {index} does not change; give --component with one "
                "that does"
            )
    return chosen


def _max_lag(dataset: Dataset, max_lag: int | None) -> int:
    most = dataset.num_samples // 2
    if max_lag is None:
        exponent = dataset.lyapunov_exponent
        wanted = round(2 / (exponent * dataset.sample_interval)) if exponent else most
        return max(10, min(wanted, most))
    if not 2 <= max_lag <= most:
        raise InputError(
            f"--max-lag: given {max_lag}; valid: 2 to {most}, half of a trajectory of "
            f"{dataset.path}"
        )
    return max_lag


def _series(dataset: Dataset, chosen: np.ndarray, effort: Effort) -> np.ndarray:
    """Return standardised rows of each chosen component, ``(component, row, time)``."""
    members = dataset.members("train")
    count = min(len(members), max(1, effort.num_samples // dataset.num_samples))
    spread = members[np.arange(count) * len(members) // count]
    rows = np.stack([dataset.trajectory(member)[:, chosen] for member in spread])
    scaled = (rows.astype(np.float64) - dataset.mean[chosen]) / dataset.std[chosen]
    return np.ascontiguousarray(np.moveaxis(scaled, -1, 0))


def _score(rows: np.ndarray, stride: int, window: int) -> Scores:
    phases = subsample_phases(rows[..., None], stride)[..., 0]
    return score_rows(phases.reshape(-1, phases.shape[-1]), window)
