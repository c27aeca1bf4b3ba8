"""Scaling curves: the runs that did the same work with one back-end, by number of ranks."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.records.collect import Collection
from analysis.records.provenance import place
from analysis.records.series import Training, read_training
from analysis.statistics.intervals import EMPTY, Interval, finite, median_interval
from hpcbench.config.tree import content_hash

Array = npt.NDArray[Any]

MAX_SERIES = 2000
"""Finished runs up to which the series of every run are read."""

MODES = ("strong", "weak", "throughput")

BESIDE_THE_WORK = (
    "seed", "dataset.", "train.backend", "train.stop_after", "train.repeat", "train.validate_",
    "train.checkpoint_every", "train.baseline_seconds", "embedding.scores",
)  # fmt: skip
"""Fields that change neither what a step does nor what is learnt."""

NOT_THE_WORK = (*BESIDE_THE_WORK, "forecast.")
"""Fields in which runs of one curve may differ: a step does the same work whatever they say.

The dataset is compared by its content instead, which a path cannot tell.
"""

SHARED_WORK = ("train.global_batch",)
"""Further fields that grow with the ranks when the work per rank is what is fixed."""


@dataclass(frozen=True)
class Cell:
    """All runs of one curve at one number of ranks.

    Attributes
    ----------
    rows
        Their rows of the collection, also of those that failed.
    timings
        Step times of each finished run after its warm-up, or its recorded median alone.
    trainings, names, paths
        Series of the finished runs that kept them, and the names and folders of these runs.
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
    paths: list[str]

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
        words = group.iloc[0].reindex(["system", "model", "method", "variant"])
        if "variant" in group and group["variant"].nunique() > 1:  # weak scaling: the batch grows
            words["variant"] = ""
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
    cell = Cell(rows, [], [], [], [], [], [])
    done = rows[rows["state"] == "done"]
    if not with_series:
        medians = recorded_values(done, "step_seconds")
        cell.timings.extend(np.array([value]) for value in medians)
        cell.allocations.extend(map(str, range(len(cell.timings))))
        return cell
    recorded = done.get("metric.step_seconds", pd.Series(math.nan, index=done.index))
    for name, path, median in zip(done["run"], map(str, done["path"]), recorded, strict=True):
        training, _ = read_training(path)
        timing = training.timed if training is not None else np.empty(0)
        if len(timing) == 0:  # a run may have kept only the median
            timing = finite([median])
        if len(timing) == 0:
            continue
        cell.timings.append(timing)
        if training is not None:
            cell.trainings.append(training)
            cell.names.append(str(name))
            cell.paths.append(path)
        nodes, allocation = place(path)
        cell.nodes.append(nodes)
        cell.allocations.append(allocation)
    return cell


def recorded_values(rows: pd.DataFrame, metric: str) -> Array:
    """Return what the finished among some runs recorded of a metric."""
    column = f"metric.{metric}"
    if column not in rows:
        return np.empty(0)
    return finite(rows.loc[rows["state"] == "done", column].to_numpy())


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
