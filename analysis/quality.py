"""Time to quality: how much of a speed-up is the machine's and how much the algorithm's.

With e the effort to the target (epochs or sequences) and t the time to it, against the base (1)

    E_tts = (t₁/t₂)·p₁/p₂ = E_sys · E_alg,   E_alg = e₁/e₂,   E_sys = (t₁/e₁)/(t₂/e₂) · p₁/p₂

A run takes its effort and time from the metrics ``samples_to_target`` and
``time_to_target_seconds``, or from its validation losses where that is the study's quality metric.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling import Cell, Curve
from analysis.series import Training
from analysis.statistics import EMPTY, Interval, ratio_interval

QUALITY_COLUMNS = (
    "study", "group", "label", "backend", "ranks", "base_ranks", "seconds_to_target",
    "effort_to_target", "speed_up", "e_tts", "e_tts_low", "e_tts_high", "e_system",
    "e_algorithmic", "n_reached", "n_ok",
)  # fmt: skip


def quality_factors(
    base: tuple[float, float, float], now: tuple[float, float, float]
) -> dict[str, float]:
    """Return the speed-up and the three efficiencies.

    Parameters
    ----------
    base, now
        (ranks, seconds to the target, effort to the target).
    """
    (p1, t1, e1), (p2, t2, e2) = base, now
    algorithmic, system = e1 / e2, (t1 / e1) / (t2 / e2) * p1 / p2
    return {
        "speed_up": t1 / t2,
        "e_tts": system * algorithmic,
        "e_system": system,
        "e_algorithmic": algorithmic,
    }


def reached(training: Training, target: float) -> tuple[float, float]:
    """Return (seconds, sequences) at the first validation loss under the target, else NaN."""
    if len(training.validation_loss) != len(training.validation_step):
        return math.nan, math.nan
    good = np.flatnonzero(training.validation_loss <= target)
    if len(good) == 0 or (len(good) and training.step_seconds.size == 0):
        return math.nan, math.nan
    steps = int(training.validation_step[good[0]])
    seconds = training.step_seconds.max(axis=1)[:steps]
    if not np.isfinite(seconds).all():  # a resumed run lost the times of its first attempt
        return math.nan, math.nan
    return float(seconds.sum()), steps * training.sequences_per_step


def to_target(cell: Cell, quality: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return (seconds, effort) to the target of every run that reached it."""
    rows = [
        (row.get("metric.time_to_target_seconds", math.nan),
         row.get("metric.samples_to_target", math.nan))
        for row in cell.rows[cell.rows["state"] == "done"].to_dict("records")
    ]  # fmt: skip
    if quality.get("metric") == "validation_loss" and not any(math.isfinite(t) for t, _ in rows):
        rows = [reached(training, float(quality["target"])) for training in cell.trainings]
    return [(t, e) for t, e in rows if math.isfinite(t) and math.isfinite(e) and t > 0 and e > 0]


def quality_table(curves: Sequence[Curve], studies: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row per curve and number of ranks where a run reached its target.

    Parameters
    ----------
    curves
        The runs.
    studies
        Content of ``study.json`` by study, for ``[quality]``: metric and target.
    """
    rows = []
    for curve in curves:
        quality = studies.get(str(curve.head["study"]), {}).get("quality") or {}
        found = {ranks: to_target(cell, quality) for ranks, cell in curve.cells.items()}
        if not any(found.values()):
            continue
        base_ranks = min(ranks for ranks, runs in found.items() if runs)
        base = found[base_ranks]
        for ranks, runs in found.items():
            row = {**curve.head, "ranks": ranks, "base_ranks": base_ranks, "n_reached": len(runs),
                   "n_ok": len(curve.cells[ranks].timings)}  # fmt: skip
            rows.append(row | (factors_of(base_ranks, base, ranks, runs) if runs else {}))
    return pd.DataFrame(rows, columns=list(QUALITY_COLUMNS))


def factors_of(
    base_ranks: int, base: list[tuple[float, float]], ranks: int, runs: list[tuple[float, float]]
) -> dict[str, float]:
    """Return the efficiencies between two sets of runs, by their medians."""
    before, after = (np.median(np.array(x), axis=0) for x in (base, runs))
    row = quality_factors(
        (base_ranks, float(before[0]), float(before[1])), (ranks, float(after[0]), float(after[1]))
    )
    interval = EMPTY
    if ranks == base_ranks:
        interval = Interval(1.0, 1.0, 1.0, len(runs))
    elif min(len(base), len(runs)) > 1:
        interval = ratio_interval(
            [np.array([t]) for t, _ in base], [np.array([t]) for t, _ in runs]
        )
    scale = base_ranks / ranks
    return row | {
        "seconds_to_target": float(after[0]),
        "effort_to_target": float(after[1]),
        "e_tts_low": interval.low * scale,
        "e_tts_high": interval.high * scale,
    }
