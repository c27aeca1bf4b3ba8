"""Time to quality: how much of a speed-up is the machine's and how much the algorithm's.

With e the effort to the target (samples trained on) and t the time to it, against the base (1)

    E_tts = (t₁/t₂)·p₁/p₂ = E_sys · E_alg,   E_alg = e₁/e₂,   E_sys = (t₁/e₁)/(t₂/e₂) · p₁/p₂

A run reaches the target at its first validation that does: the time is that of the training steps
before it (validations are not counted), of the slowest rank. A record may also state the metrics
``time_to_target_seconds`` and ``samples_to_target`` itself.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.records.series import Training
from analysis.statistics.intervals import EMPTY, Interval, ratio_interval
from analysis.tables.curves import Curve

QUALITY_COLUMNS = (
    "study", "group", "label", "backend", "target", "ranks", "base_ranks", "seconds_to_target",
    "samples_to_target", "node_hours_to_target", "energy_to_target_joules", "speed_up", "e_tts",
    "e_tts_low", "e_tts_high", "e_system", "e_algorithmic", "n_reached", "n_ok",
)  # fmt: skip

COSTS = (
    "time_to_target_seconds", "samples_to_target", "node_hours_to_target",
    "energy_to_target_joules",
)  # fmt: skip
"""What reaching the target took, a column each."""

HISTORIES = {
    "validation_loss": ("validation_loss", -1),
    "vpt": ("validation_vpt", 1),
    "vpt_mean": ("validation_vpt", 1),
    "validation_vpt": ("validation_vpt", 1),
}
"""Metric of [quality] → series of the validations, and 1 where higher is better, -1 lower."""

HOW_TO_KEEP = {
    "validation_loss": "train.validate_every",
    "validation_vpt": "train.validate_every and train.validate_forecasts",
}


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


def quality_of(study: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return metric and target of a study's [quality], None where it has none that can be used."""
    quality = study.get("quality")
    if not isinstance(quality, Mapping):
        return None
    metric, target = quality.get("metric"), quality.get("target")
    if isinstance(target, bool) or not isinstance(target, int | float):
        return None
    return str(metric), float(target)


def target_text(metric: str, target: float) -> str:
    """Return ``"vpt_mean ≥ 2.5"``."""
    _, sign = HISTORIES.get(metric, ("", 1))
    return f"{metric} {'≥' if sign > 0 else '≤'} {target:g}"


def history_of(training: Training, metric: str) -> np.ndarray:
    """Return the validations of a metric, empty where the run kept none of it."""
    name, _ = HISTORIES.get(metric, ("", 1))
    values = np.asarray(getattr(training, name, np.empty(0)), dtype=float)
    fits = len(values) == len(training.validation_step) and np.isfinite(values).any()
    return values if fits else np.empty(0)


def reached(training: Training, metric: str, target: float, nodes: float) -> dict[str, float]:
    """Return :data:`COSTS` at the first validation that reaches the target, else NaN.

    A resumed run lost the times of its first attempt, and with them the time to the target.
    """
    nothing = dict.fromkeys(COSTS, math.nan)
    values, sign = history_of(training, metric), HISTORIES.get(metric, ("", 1))[1]
    with np.errstate(invalid="ignore"):
        good = np.flatnonzero(sign * values >= sign * target)
    if len(good) == 0 or training.step_seconds.size == 0:
        return nothing
    steps = int(training.validation_step[good[0]])
    seconds = training.step_seconds.max(axis=1)[:steps]
    if len(seconds) < steps or not np.isfinite(seconds).all():
        return nothing
    per_step = training.samples_per_step
    samples = steps * (per_step if math.isfinite(per_step) else training.sequences_per_step)
    joules = training.validation_joules
    known = len(joules) == len(training.validation_step)
    total = float(seconds.sum())
    values_found = (total, samples, total * nodes / 3600,
                    float(joules[good[0]]) if known else math.nan)  # fmt: skip
    return dict(zip(COSTS, values_found, strict=True))


def runs_to_target(curves: Sequence[Curve], studies: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row per finished run of a study with a target: ``path`` and :data:`COSTS`.

    ``kept`` says whether the run could tell at all: its history of the metric, or its own record.
    """
    rows: list[dict[str, Any]] = []
    for curve in curves:
        quality = quality_of(studies.get(str(curve.head["study"]), {}))
        for ranks, cell in curve.cells.items():
            place = {"study": curve.head["study"], "group": curve.head["group"],
                     "backend": curve.head["backend"], "ranks": ranks}  # fmt: skip
            done = cell.rows[cell.rows["state"] == "done"]
            recorded = done.reindex(columns=[f"metric.{name}" for name in COSTS])
            recorded.index = pd.Index(done["path"].astype(str))
            series = zip(cell.trainings, cell.nodes, strict=False)
            histories = dict(zip(cell.paths, series, strict=False))
            for path, *stated in recorded.itertuples():
                costs = dict(zip(COSTS, map(float, stated), strict=True))
                kept = math.isfinite(costs["time_to_target_seconds"])
                if quality and not kept and path in histories:
                    training, nodes = histories[path]
                    kept = len(history_of(training, quality[0])) > 0
                    costs = reached(training, *quality, nodes)
                if quality or kept:
                    rows.append({**place, "path": path, "kept": kept, **costs})
    columns = ["study", "group", "backend", "ranks", "path", "kept", *COSTS]
    return pd.DataFrame(rows, columns=columns)


def quality_table(
    curves: Sequence[Curve], runs: pd.DataFrame, studies: Mapping[str, Any]
) -> pd.DataFrame:
    """Return a row per curve and number of ranks where a run reached its target.

    Parameters
    ----------
    curves
        The runs.
    runs
        What each took to the target (:func:`runs_to_target`).
    studies
        Content of ``study.json`` by study, for ``[quality]``: metric and target.
    """
    took = runs[(runs["time_to_target_seconds"] > 0) & (runs["samples_to_target"] > 0)]
    keys = ["study", "group", "backend"]
    groups = dict(list(took.groupby(keys, dropna=False, sort=False)))
    rows = []
    for curve in curves:
        found = groups.get(tuple(curve.head[key] for key in keys))
        if found is None:
            continue
        quality = quality_of(studies.get(str(curve.head["study"]), {}))
        base_ranks = int(found["ranks"].min())
        base = found[found["ranks"] == base_ranks]
        for ranks, cell in curve.cells.items():
            some = found[found["ranks"] == ranks]
            row = {**curve.head, "ranks": ranks, "base_ranks": base_ranks, "n_reached": len(some),
                   "target": target_text(*quality) if quality else "as recorded",
                   "n_ok": int((cell.rows["state"] == "done").sum())}  # fmt: skip
            rows.append(row | (factors_of(base_ranks, base, ranks, some) if len(some) else {}))
    return pd.DataFrame(rows, columns=list(QUALITY_COLUMNS))


def factors_of(
    base_ranks: int, base: pd.DataFrame, ranks: int, runs: pd.DataFrame
) -> dict[str, float]:
    """Return the efficiencies between two sets of runs, by their medians."""
    before, after = (table[list(COSTS)].median() for table in (base, runs))
    names = list(COSTS[:2])
    row = quality_factors((base_ranks, *before[names]), (ranks, *after[names]))
    interval = EMPTY
    if ranks == base_ranks:
        interval = Interval(1.0, 1.0, 1.0, len(runs))
    elif min(len(base), len(runs)) > 1:
        times = [[np.array([t]) for t in table["time_to_target_seconds"]] for table in (base, runs)]
        interval = ratio_interval(times[0], times[1])
    scale = base_ranks / ranks
    return row | {
        "seconds_to_target": float(after["time_to_target_seconds"]),
        **{name: float(after[name]) for name in COSTS[1:]},
        "e_tts_low": interval.low * scale,
        "e_tts_high": interval.high * scale,
    }


def quality_sentences(runs: pd.DataFrame, studies: Mapping[str, Any]) -> list[str]:
    """Say of every study with a target how many runs reached it, and why none could tell."""
    sentences = []
    for study, found in runs.groupby("study", sort=False):
        quality = quality_of(studies.get(str(study), {}))
        if quality is None:
            continue
        kept, count = int(found["kept"].sum()), len(found)
        text = f"Target of {study}, {target_text(*quality)}: "
        if kept == 0:
            name = HISTORIES.get(quality[0], ("", 1))[0]
            how = HOW_TO_KEEP.get(name)
            text += f"no run kept a history of {quality[0]}, so when it was reached is not known"
            text += f"; set {how}." if how else "; targets can be validation_loss or vpt_mean."
        else:
            reached_by = int(found["time_to_target_seconds"].notna().sum())
            text += f"reached by {reached_by} of {count} finished runs."
        sentences.append(text)
    return sentences
