"""Run records of any number of studies in one tidy frame; what failed or is missing stays in it.

Whatever state a run directory is in, it becomes exactly one row: a record that cannot be read is a
row with the state ``unreadable`` and a reason, never an exception.
"""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.records.cache import OPEN, Folder, load, store
from analysis.records.descriptions import table
from analysis.records.documents import read_document
from analysis.records.rows import Gathered, describe, read_run
from analysis.records.search import walk
from hpcbench.errors import InputError, nearest

COLUMNS = (
    "study",
    "run",
    "kind",
    "state",
    "reason",
    "point",
    "attempt",
    "path",
    "system",
    "parameters",
    "lyapunov_exponent",
    "dataset",
    "model",
    "method",
    "backend",
    "ranks",
    "seed",
    "config_hash",
    "initial_conditions",
    "command",
)
"""The columns every frame has; the metrics follow as ``metric.NAME``."""


@dataclass(frozen=True)
class Collection:
    """What was found under some paths.

    Attributes
    ----------
    frame
        One row per run directory and per point a study announced but nobody started, with
        :data:`COLUMNS` and ``metric.NAME`` columns (NaN where a run has no such metric).
    configs
        Resolved configuration by ``config_hash``.
    units, better
        Unit of each metric, and whether ``higher`` or ``lower`` is better (or ``none``).
    studies
        Content of each ``study.json`` by study name (empty where there is none).
    """

    frame: pd.DataFrame
    configs: Mapping[str, dict[str, Any]]
    units: dict[str, str]
    better: dict[str, str]
    studies: dict[str, dict[str, Any]]

    @property
    def done(self) -> pd.DataFrame:
        """The rows whose run ended well: the only ones that enter a table of measurements."""
        return self.frame[self.frame["state"] == "done"]


@contextmanager
def without_cycles() -> Iterator[None]:
    """Leave garbage in cycles where it is: records hold none, and looking for it takes seconds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@without_cycles()
def collect(paths: Iterable[Path | str]) -> Collection:
    """Read every run under ``paths`` (run directories, studies, or folders that hold them).

    Raises
    ------
    InputError
        A path does not exist. Everything else a record can have wrong becomes a row.
    """
    gathered = Gathered()
    studies: dict[str, dict[str, Any]] = {}
    frames: list[pd.DataFrame] = []
    for path in map(Path, paths):
        check_path(path)
        root = path.resolve()
        description, problem = read_study(root)
        study = str(description.get("study", {}).get("name") or root.name)
        studies[study] = description
        runs = scan(str(root), study, gathered)
        rows = announced_but_absent(study, root, description, set(runs["point"]))
        if problem:
            row = {"study": study, "run": "study.json", "path": str(root), "kind": "study"}
            rows.append({**row, "state": "unreadable", "reason": problem})
        frames += [runs, as_frame(rows)]
    frame = join(frames).drop_duplicates(["path", "run"], ignore_index=True)
    twice = frame["path"].duplicated() & (frame["kind"] != "study")
    if twice.any():
        frame = frame[~twice].reset_index(drop=True)
    return Collection(frame, gathered.configs, gathered.units, gathered.better, studies)


def scan(root: str, study: str, gathered: Gathered) -> pd.DataFrame:
    """Return the runs under a folder, from the cache as far as nothing has changed since."""
    known = load(root, gathered)
    directories: dict[str, Folder] = {}
    rows: list[dict[str, Any]] = []
    kept: list[str] = []
    places: list[int] = []
    for place, (directory, files) in enumerate(walk(root, known.folders, directories)):
        if files is None:
            kept.append(directory)
            continue
        row = read_run(directory, files, gathered) | point_and_attempt(directory)
        name = directory[len(root) :].lstrip("/") or root.rpartition("/")[2]
        rows.append(row | {"study": study, "run": name, "path": directory})
        places.append(place)
    old = known.frame
    if len(kept) != len(old):
        old = old[old["path"].isin(set(kept))]
    frame = join([old.assign(study=study), as_frame(rows)])
    if rows:
        # What was kept is in the order of the search already; what was read goes in between.
        others = np.delete(np.arange(len(frame)), places)
        frame = frame.iloc[np.argsort(np.concatenate([others, places]))].reset_index(drop=True)
        if any(folder is not known.folders.get(place) for place, folder in directories.items()
               if folder.record != OPEN):  # fmt: skip
            store(root, frame, directories, gathered)
    return frame


def join(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return frames below each other; an empty one has no say in the types."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else as_frame([])


def check_path(path: Path) -> None:
    """Raise :class:`InputError` when ``path`` is no directory that can be read."""
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise InputError(f"{path}: cannot be read; ask its owner for read permission")
        return
    if path.exists():
        raise InputError(f"{path}: is a file; give a run directory, a study or a folder of runs")
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise InputError(
        f"{path}: no such directory{nearest(path.name, siblings)}; "
        "give a run directory, a study or a folder of runs"
    )


def read_study(root: Path) -> tuple[dict[str, Any], str]:
    """Return the content of ``study.json`` and what is wrong with it (both may be empty)."""
    if not (root / "study.json").exists():
        return {}, ""
    document, problem = read_document(root / "study.json")
    if problem:
        return {}, problem
    if not isinstance(document.get("study", {}), Mapping):
        return {}, "study.json: study: expected a table with name and question"
    return document, ""


def point_and_attempt(directory: str) -> dict[str, Any]:
    """Return the study point and the attempt that ``…/points/ID/aK`` stands for."""
    parts = directory.split("/")
    if len(parts) >= 3 and parts[-3] == "points":
        return {"point": parts[-2], "attempt": parts[-1]}
    return {"point": directory, "attempt": ""}


def announced_but_absent(
    study: str, root: Path, description: Mapping[str, Any], started: set[str]
) -> list[dict[str, Any]]:
    """Return one row per point that ``study.json`` lists and no run directory exists for."""
    points = description.get("points")
    if isinstance(points, Mapping):
        points = [
            {"id": key, **(value if isinstance(value, Mapping) else {})}
            for key, value in points.items()
        ]
    rows = []
    for point in points if isinstance(points, Sequence) and not isinstance(points, str) else []:
        known = point if isinstance(point, Mapping) else {"id": point}
        name = str(known.get("id"))
        if name in started:
            continue
        row = describe({"config": table(known, "config"), "ranks": known.get("ranks")}, Gathered())
        row |= {"backend": known.get("backend") or row["backend"], "point": name, "attempt": ""}
        row |= {"study": study, "run": name, "path": str(root / "points" / name)}
        rows.append(row | {"state": "missing", "reason": "never started"})
    return rows


def as_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a frame with all of :data:`COLUMNS`, then the metrics by name."""
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in COLUMNS}
    for name in ("lyapunov_exponent", "ranks", "seed", "initial_conditions"):
        columns[name] = np.array(columns[name], dtype=float)
    return pd.DataFrame(columns | metric_columns(rows))


def metric_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, npt.NDArray[np.float64]]:
    """Return the metrics of all rows by column, NaN where a row has no such metric.

    Records with the same metrics are entered together: one by one, millions of values take
    seconds.
    """
    blocks: dict[tuple[str, ...], tuple[list[int], list[list[float]]]] = {}
    for place, row in enumerate(rows):
        if "metrics" in row:
            names, values = row["metrics"]
            places, block = blocks.setdefault(names, ([], []))
            places.append(place)
            block.append(values)
    columns = {name: np.full(len(rows), np.nan) for names in blocks for name in names}
    for names, (places, block) in blocks.items():
        for name, values in zip(names, np.array(block, dtype=float).T, strict=True):
            columns[name][places] = values
    return {f"metric.{name}": columns[name] for name in sorted(columns)}
