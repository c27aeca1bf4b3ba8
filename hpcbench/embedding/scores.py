"""Scores S1–S7 for how correlated the inputs of a recurrent network are."""

from dataclasses import dataclass

import numpy as np

from hpcbench.embedding.correlation import autocorrelation, ljung_box, persistence_error
from hpcbench.embedding.delays import delay_vectors
from hpcbench.embedding.information import mutual_information

SCORES = {
    "S1": ("mean_correlation", "mean size of the correlation between two inputs of a window"),
    "S2": ("effective_rank", "effective number of inputs, as a share of the window"),
    "S3": ("condition_number", "condition number of the window's correlation matrix"),
    "S4": ("information", "mutual information of neighbouring samples, as a share of the entropy"),
    "S5": ("lag_one_correlation", "autocorrelation at one sampling interval"),
    "S6": ("residual_correlation", "Ljung-Box statistic per lag of what the window cannot predict"),
    "S7": ("persistence_error", "NRMSE of forecasting that nothing changes in one interval"),
}
"""Score → (field of :class:`Scores`, what it is)."""


@dataclass(frozen=True)
class Scores:
    """How correlated a window of samples is; see :data:`SCORES`.

    Uncorrelated inputs have a mean correlation of 0, an effective rank of 1 and a condition
    number of 1; copies of one input 1, 1 / window and infinity.
    """

    mean_correlation: float
    effective_rank: float
    condition_number: float
    information: float
    lag_one_correlation: float
    residual_correlation: float
    persistence_error: float


def mean_correlation(windows: np.ndarray) -> float:
    """Return S1 of windows ``(window, input)``: the mean of ``|corr(i, j)|`` over i ≠ j."""
    correlation = correlation_matrix(windows)
    number = len(correlation)
    if number == 1:
        return 0.0
    return float((np.abs(correlation).sum() - number) / (number * (number - 1)))


def effective_rank(windows: np.ndarray) -> float:
    r"""Return S2, :math:`e^{H} / n` with H the entropy of the correlation matrix's eigenvalues.

    Reference: Roy and Vetterli (2007), EUSIPCO, 606.
    """
    values = np.maximum(np.linalg.eigvalsh(correlation_matrix(windows)), 0.0)
    share = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(share * np.log(share))) / len(values))


def condition_number(windows: np.ndarray) -> float:
    """Return S3, largest over smallest eigenvalue of the correlation matrix.

    Smallest eigenvalues below the rounding of float64 count as that rounding.
    """
    values = np.linalg.eigvalsh(correlation_matrix(windows))
    return float(values[-1] / max(values[0], values[-1] * np.finfo(np.float64).eps))


def correlation_matrix(windows: np.ndarray) -> np.ndarray:
    """Return the correlation matrix of inputs ``(window, input)``; constant inputs are refused."""
    centred = windows - windows.mean(axis=0)
    spread = np.sqrt(np.mean(centred**2, axis=0))
    assert np.all(spread > 0)
    scaled = centred / spread
    return np.asarray(scaled.T @ scaled / len(scaled))


def linear_residuals(rows: np.ndarray, window: int) -> np.ndarray:
    """Return what the best linear forecast from ``window`` samples leaves, ``(row, time)``."""
    centred = rows - rows.mean()
    vectors = delay_vectors(centred[..., None], window, 1)[:, :-1]
    target = centred[:, window:]
    inputs = vectors.reshape(-1, window)
    weights, *_ = np.linalg.lstsq(inputs, target.ravel(), rcond=None)
    return np.asarray(target - (inputs @ weights).reshape(target.shape))


def score_rows(rows: np.ndarray, window: int) -> Scores:
    """Return the scores of windows of consecutive samples of scalar rows ``(row, time)``.

    The residuals of S6 are those of the best linear forecast from a window, tested over as many
    lags as the window has samples; a model's own residuals go to :func:`ljung_box` directly.
    """
    windows = delay_vectors(rows[..., None], window, 1).reshape(-1, window)
    information = mutual_information(rows, 1)
    lag_one = float(autocorrelation(rows, 1)[1])
    return Scores(
        mean_correlation=mean_correlation(windows),
        effective_rank=effective_rank(windows),
        condition_number=condition_number(windows),
        information=float(information[1] / information[0]),
        lag_one_correlation=lag_one,
        residual_correlation=ljung_box(linear_residuals(rows, window), window)[0],
        persistence_error=persistence_error(lag_one),
    )


def mean_scores(scores: list[Scores]) -> Scores:
    """Return the scores averaged over components (the condition number geometrically)."""
    table = np.array([list(vars(score).values()) for score in scores])
    averaged = dict(zip(vars(scores[0]), table.mean(axis=0).tolist(), strict=True))
    averaged["condition_number"] = float(
        np.exp(np.mean([np.log(score.condition_number) for score in scores]))
    )
    return Scores(**averaged)
