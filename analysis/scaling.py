"""Scaling tables: time, speed-up and efficiency against ranks, always with their base and spread.

strong       S = T(p₀)/T(p),  E = S·p₀/p           (global work fixed)
weak         E = T(p₀)/T(p)                        (work per rank fixed)
throughput   E = X(p)·p₀/(X(p₀)·p), S = X(p)/X(p₀)

The base p₀ is the smallest number of ranks that was measured, never silently 1.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.collect import Collection
from analysis.models import ring_seconds
from analysis.provenance import place
from analysis.series import Training, read_training
from analysis.statistics import EMPTY, Interval, finite, median_interval, ratio_interval
from hpcbench.config import content_hash

Array = npt.NDArray[Any]

MAX_SERIES = 2000
"""Finished runs up to which the series of every run are read."""

MODES = ("strong", "weak", "throughput")

NOT_THE_WORK = (
    "seed", "dataset.", "forecast.", "train.backend", "train.stop_after", "train.repeat",
    "train.validate_every", "train.checkpoint_every",
)  # fmt: skip
"""Fields in which runs of one curve may differ: a step does the same work whatever they say.

The dataset is compared by its content instead, which a path cannot tell.
"""

SHARED_WORK = ("train.global_batch",)
"""Further fields that grow with the ranks when the work per rank is what is fixed."""

SCALING_COLUMNS = (
    "study",
    "group",
    "label",
    "mode",
    "backend",
    "ranks",
    "step_seconds",
    "step_seconds_low",
    "step_seconds_high",
    "n",
    "interval_over",
    "base_ranks",
    "base_seconds",
    "base_kind",
    "speed_up",
    "speed_up_low",
    "speed_up_high",
    "efficiency",
    "efficiency_low",
    "efficiency_high",
    "super_linear",
    "sequences_per_second",
    "predicted_seconds",
    "nodes",
    "node_hours",
    "energy_joules",
    "n_ok",
    "n_failed",
    "n_missing",
)


@dataclass(frozen=True)
class Cell:
    """All runs of one curve at one number of ranks.

    Attributes
    ----------
    rows
        Their rows of the collection, also of those that failed.
    timings
        Step times of each finished run after its warm-up, or its recorded median alone.
    trainings, names
        Series of the finished runs that kept them, and the names of these runs.
    allocations
        What each timed run shared with others (its Slurm job), for resampling.
    nodes
        Nodes each timed run used.
    """

    rows: pd.DataFrame
    timings: list[Array]
    trainings: list[Training]
    allocations: list[str]
    nodes: list[int]
    names: list[str]

    @cached_property
    def medians(self) -> Array:
        """Median step time of each run, in seconds."""
        return np.array([np.median(timing) for timing in self.timings])

    def step_seconds(self) -> tuple[Interval, str]:
        """Return the median step time, its rank interval and what both are over.

        Over runs where there are enough of them. Fewer runs say nothing about how runs differ;
        median and interval are then over the steps of the runs, which the table says.
        """
        if not self.timings:
            return EMPTY, ""
        over_runs = median_interval(self.medians)
        if math.isfinite(over_runs.low) or all(len(timing) < 2 for timing in self.timings):
            return over_runs, "runs"
        return median_interval(np.concatenate(self.timings)), "steps"


@dataclass(frozen=True)
class Curve:
    """Runs that do the same work with one back end: study, group, label, mode, backend, cells."""

    head: dict[str, Any]
    cells: dict[int, Cell]


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``("train.window", 64)`` for every leaf of a configuration."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def work_of(config: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """Return the configuration fields that must agree within one scaling curve."""
    free = NOT_THE_WORK + (SHARED_WORK if mode != "strong" else ())
    return {name: value for name, value in flatten(config) if not name.startswith(free)}


def scaling_groups(collection: Collection) -> pd.DataFrame:
    """Return the training runs with the columns ``mode`` and ``group`` (hash of the same work)."""
    frame = collection.frame[collection.frame["kind"] != "forecast"]
    frame = frame[frame["ranks"].notna() & frame["config_hash"].notna()].copy()
    modes = {study: mode_of(content) for study, content in collection.studies.items()}
    frame["mode"] = [modes.get(study, "strong") for study in frame["study"]]
    # A configuration is hashed once, however many runs share it.
    known: dict[tuple[str, str], str] = {}
    works = []
    for key in zip(frame["config_hash"], frame["mode"], strict=True):
        if key not in known:
            known[key] = content_hash(work_of(collection.configs.get(key[0], {}), key[1]), 8)
        works.append(known[key])
    frame["work"] = works
    # A point that never started does not know its dataset's content: it belongs to the runs of
    # the same work where these agree on one.
    datasets = {work: d.dropna().unique() for work, d in frame.groupby("work")["dataset"]}
    only = {work: found[0] for work, found in datasets.items() if len(found) == 1}
    absent = frame["state"] == "missing"
    frame.loc[absent, "dataset"] = frame.loc[absent, "work"].map(only)
    frame["group"] = [
        content_hash([work, str(dataset)], 8)
        for work, dataset in zip(frame["work"], frame["dataset"], strict=True)
    ]
    return frame


def mode_of(study: Mapping[str, Any]) -> str:
    """Return the scaling mode a study declares, ``"strong"`` when it declares none."""
    scaling = study.get("scaling")
    mode = str(scaling.get("mode", "strong")) if isinstance(scaling, Mapping) else "strong"
    return mode if mode in MODES else "strong"


def read_curves(collection: Collection) -> list[Curve]:
    """Return every scaling curve with the series of its runs.

    Above :data:`MAX_SERIES` finished runs the series stay on disk and every run counts with its
    recorded median.
    """
    frame = scaling_groups(collection)
    with_series = int((frame["state"] == "done").sum()) <= MAX_SERIES
    keys = ["study", "mode", "group", "backend"]
    result = []
    for (study, mode, name, backend), group in frame.groupby(keys, sort=False, dropna=False):
        words = group.iloc[0][["system", "model", "method"]]
        label = " ".join(str(word) for word in words if pd.notna(word) and word)
        head = {"study": study, "group": name, "label": label, "mode": mode, "backend": backend}
        by_ranks = {
            int(ranks): read_cell(group[group["ranks"] == ranks], with_series)
            for ranks in sorted(group["ranks"].unique())
        }
        result.append(Curve(head, by_ranks))
    return result


def read_cell(rows: pd.DataFrame, with_series: bool) -> Cell:
    """Return the runs of one curve at one number of ranks."""
    cell = Cell(rows, [], [], [], [], [])
    done = rows[rows["state"] == "done"]
    if not with_series:
        medians = recorded_values(done, "step_seconds")
        cell.timings.extend(np.array([value]) for value in medians)
        cell.allocations.extend(map(str, range(len(cell.timings))))
        return cell
    for row in done.to_dict("records"):
        path = str(row["path"])
        training, _ = read_training(path)
        timing = training.timed if training is not None else np.empty(0)
        if len(timing) == 0:  # a run may have kept only the median
            timing = finite([row.get("metric.step_seconds", math.nan)])
        if len(timing) == 0:
            continue
        cell.timings.append(timing)
        if training is not None:
            cell.trainings.append(training)
            cell.names.append(str(row["run"]))
        nodes, allocation = place(path)
        cell.nodes.append(nodes)
        cell.allocations.append(allocation)
    return cell


def scaling_table(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return one row per curve and number of ranks, with :data:`SCALING_COLUMNS`."""
    rows = [
        curve.head | row for curve in curves for row in curve_rows(curve.head["mode"], curve.cells)
    ]
    return pd.DataFrame(rows, columns=list(SCALING_COLUMNS))


def curve_rows(mode: str, curve: Mapping[int, Cell]) -> list[dict[str, Any]]:
    """Return the rows of one curve; points without a timing keep their counts."""
    measured = [ranks for ranks, cell in curve.items() if cell.timings]
    base = min(measured) if measured else 0
    base_kind = "smallest measured"
    rows = []
    for ranks, cell in curve.items():
        states = cell.rows["state"]
        seconds, over = cell.step_seconds()
        row: dict[str, Any] = {
            "ranks": ranks,
            "step_seconds": seconds.value,
            "step_seconds_low": seconds.low,
            "step_seconds_high": seconds.high,
            "n": seconds.n,
            "interval_over": over,
            "sequences_per_second": rate(cell),
            "nodes": float(np.median(cell.nodes)) if cell.nodes else math.nan,
            "node_hours": node_hours(cell),
            "energy_joules": recorded(cell, "energy_joules"),
            "n_ok": int((states == "done").sum()),
            "n_missing": int((states == "missing").sum()),
        }
        row["n_failed"] = len(states) - row["n_ok"] - row["n_missing"]
        if cell.timings and base:
            row |= {"base_ranks": base, "base_kind": base_kind}
            row |= {"base_seconds": curve[base].step_seconds()[0].value}
            row |= speed_up(mode, base, curve[base], ranks, cell)
            row |= {"predicted_seconds": predicted(mode, base, curve[base], ranks, cell)}
        rows.append(row)
    return rows


def rate(cell: Cell) -> float:
    """Return sequences per second as Σwork / Σtime over all timed steps of all runs."""
    work = sum(training.sequences_per_step * len(training.timed) for training in cell.trainings)
    seconds = sum(float(training.timed.sum()) for training in cell.trainings)
    return work / seconds if seconds > 0 else math.nan


def recorded_values(rows: pd.DataFrame, metric: str) -> Array:
    """Return what the finished among some runs recorded of a metric."""
    column = f"metric.{metric}"
    if column not in rows:
        return np.empty(0)
    return finite(rows.loc[rows["state"] == "done", column].to_numpy())


def recorded(cell: Cell, metric: str) -> float:
    """Return the median of a recorded metric over the finished runs, NaN where none has it."""
    values = recorded_values(cell.rows, metric)
    return float(np.median(values)) if len(values) else math.nan


def node_hours(cell: Cell) -> float:
    """Return the node-hours all timed runs together trained for."""
    seconds = [float(training.slowest.sum()) for training in cell.trainings]
    if len(seconds) != len(cell.nodes) or not seconds:
        return math.nan
    return sum(s * n for s, n in zip(seconds, cell.nodes, strict=True)) / 3600


def predicted(mode: str, base_ranks: int, base: Cell, ranks: int, cell: Cell) -> float:
    """Return the step time expected from the base and the allreduce measured in the same jobs.

    The base's step scaled to its share of the work, plus a ring allreduce of the gradient with
    the α and β that the runs recorded (metrics ``allreduce_latency_seconds`` and
    ``allreduce_seconds_per_byte``); NaN where they did not.
    """
    latency, per_byte, count = (
        recorded(cell, name)
        for name in ("allreduce_latency_seconds", "allreduce_seconds_per_byte", "parameters")
    )
    share = base_ranks / ranks * (1.0 if mode == "strong" else work_ratio(base, cell))
    message = {"ranks": np.array([ranks, base_ranks]), "bytes": np.full(2, 4.0 * count)}
    now, before = ring_seconds(message, latency, per_byte)
    return float((np.median(base.medians) - before) * share + now)


def work_ratio(base: Cell, cell: Cell) -> float:
    """Return the work of a step of ``cell`` over that of ``base`` (1 where it is not recorded)."""
    amounts = [[t.sequences_per_step for t in c.trainings] for c in (base, cell)]
    if not all(amounts):
        return 1.0
    before, after = (float(np.median(amount)) for amount in amounts)
    return after / before if math.isfinite(before) and math.isfinite(after) else 1.0


def speed_up(mode: str, base_ranks: int, base: Cell, ranks: int, cell: Cell) -> dict[str, Any]:
    """Return speed-up and efficiency of ``cell`` against ``base`` with their intervals.

    The ratio is formed from the medians last, and resampled as a whole: allocation, run, steps.
    """
    if ranks == base_ranks:
        ratio = Interval(1.0, 1.0, 1.0, len(cell.timings))
    else:
        ratio = ratio_interval(base.timings, cell.timings, (base.allocations, cell.allocations))
    growth = 1.0 if mode == "strong" else work_ratio(base, cell)
    if mode == "weak":
        # The work grows with the ranks, so the ideal time is constant and S = E·p/p₀.
        per_speed_up, per_efficiency = ranks / base_ranks, 1.0
    else:
        per_speed_up, per_efficiency = growth, growth * base_ranks / ranks
    row: dict[str, Any] = {}
    for name, factor in (("speed_up", per_speed_up), ("efficiency", per_efficiency)):
        row |= {
            name: ratio.value * factor,
            f"{name}_low": ratio.low * factor,
            f"{name}_high": ratio.high * factor,
        }
    row["super_linear"] = bool(row["efficiency_low"] > 1.0 and ranks != base_ranks)
    return row


def raw_points(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return the median step time of every finished run, the raw points of the scaling plot."""
    rows = [
        {**curve.head, "ranks": ranks, "step_seconds": float(median)}
        for curve in curves
        for ranks, cell in curve.cells.items()
        for median in cell.medians
    ]
    columns = ["study", "group", "label", "mode", "backend", "ranks", "step_seconds"]
    return pd.DataFrame(rows, columns=columns)
