"""Run records of any number of studies in one tidy frame; what failed or is missing stays in it.

A run directory is one that holds ``result.json``, ``run.json`` or ``status.json``. Whatever state
it is in, it becomes exactly one row: a record that cannot be read is a row with the state
``unreadable`` and a reason, never an exception.
"""

import json
import math
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hpcbench.config import canonical_json, content_hash
from hpcbench.errors import InputError, nearest

SCHEMA = 1
"""The record schema this program reads (``schema`` in run.json and result.json)."""

MARKS = ("result.json", "run.json", "status.json")
"""A directory that holds one of these is a run directory."""

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
    units
        Unit of each metric.
    studies
        Content of each ``study.json`` by study name (empty where there is none).
    """

    frame: pd.DataFrame
    configs: dict[str, dict[str, Any]]
    units: dict[str, str]
    studies: dict[str, dict[str, Any]]

    @property
    def done(self) -> pd.DataFrame:
        """The rows whose run ended well: the only ones that enter a table of measurements."""
        return self.frame[self.frame["state"] == "done"]


@dataclass
class Gathered:
    """Rows while they are being read, with what they share."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


def collect(paths: Iterable[Path | str]) -> Collection:
    """Read every run under ``paths`` (run directories, studies, or folders that hold them).

    Raises
    ------
    InputError
        A path does not exist. Everything else a record can have wrong becomes a row.
    """
    gathered = Gathered()
    studies: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for path in map(Path, paths):
        check_path(path)
        root = path.resolve()
        description, problem = read_study(root)
        study = str(description.get("study", {}).get("name") or root.name)
        studies[study] = description
        if problem:
            gathered.rows.append(
                {
                    "study": study,
                    "run": "study.json",
                    "path": str(root),
                    "kind": "study",
                    "state": "unreadable",
                    "reason": problem,
                }
            )
        points: set[str] = set()
        for directory, files in walk(str(root)):
            if directory in seen:
                continue
            seen.add(directory)
            row = read_run(Path(directory), files, gathered)
            name = os.path.relpath(directory, root)
            row |= {"study": study, "run": root.name if name == "." else name, "path": directory}
            row |= point_and_attempt(directory)
            points.add(row["point"])
            gathered.rows.append(row)
        gathered.rows += announced_but_absent(study, root, description, points)
    return Collection(as_frame(gathered.rows), gathered.configs, gathered.units, studies)


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


def walk(root: str) -> Iterator[tuple[str, set[str]]]:
    """Yield every run directory under ``root`` with the names of its files, in sorted order.

    Below a run directory only ``forecasts/NAME`` is searched: the rest belongs to the run.
    """
    pending = [root]
    while pending:
        directory = pending.pop()
        files: set[str] = set()
        folders: list[str] = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    else:
                        files.add(entry.name)
        except OSError:
            continue  # a folder without permission holds no run that could be read
        if not files.isdisjoint(MARKS):
            yield directory, files
            folders = ["forecasts"] if "forecasts" in folders else []
        pending += [
            f"{directory}/{name}" for name in sorted(folders, reverse=True) if name[0] != "."
        ]


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


def read_document(path: Path) -> tuple[dict[str, Any], str]:
    """Return a JSON object and ``""``, or ``{}`` and the reason why it could not be read."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        return {}, f"{path.name}: cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return {}, f"{path.name}: corrupt or partly written: {error}"
    if not isinstance(document, dict):
        return {}, f"{path.name}: foreign: expected a JSON object, found {type(document).__name__}"
    return document, ""


def schema_problem(name: str, document: Mapping[str, Any]) -> str:
    """Return what is wrong with the schema of a record, or ``""``."""
    schema = document.get("schema")
    if schema is None:
        return f"{name}: foreign: it has no schema number, so hpcbench did not write it"
    if isinstance(schema, bool) or not isinstance(schema, int):
        return f"{name}: schema: expected the number {SCHEMA}, found {schema!r}"
    if schema > SCHEMA:
        return f"{name}: schema {schema} is newer than {SCHEMA}, which this hpcbench reads; update"
    if schema < SCHEMA:
        return f"{name}: schema {schema} is older than {SCHEMA}, which this hpcbench reads"
    return ""


def read_run(directory: Path, files: set[str], gathered: Gathered) -> dict[str, Any]:
    """Return the row of one run directory; its configuration and units go into ``gathered``."""
    name = "result.json" if "result.json" in files else "run.json" if "run.json" in files else ""
    document: dict[str, Any] = {}
    problem = ""
    if name:
        document, problem = read_document(directory / name)
        problem = problem or schema_problem(name, document)
    if problem:
        return {"state": "unreadable", "reason": problem}
    try:
        row = describe(document, gathered)
        if name == "result.json":
            row |= {"state": str(document.get("status", "done")), "reason": ""}
            row |= read_metrics(document.get("metrics", []), gathered)
            return row
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        return {"state": "unreadable", "reason": f"{name}: foreign: {error}"}
    return row | unfinished(directory, files)


def unfinished(directory: Path, files: set[str]) -> dict[str, Any]:
    """Return state and reason of a run without result, from its heartbeat."""
    if "status.json" not in files:
        return {"state": "interrupted", "reason": "no result.json and no status.json"}
    status, problem = read_document(directory / "status.json")
    if problem:
        return {"state": "unreadable", "reason": problem}
    state = str(status.get("state", "unreadable"))
    reached = f"step {status.get('step', '?')} of {status.get('num_steps', '?')}"
    reason = str(status.get("reason") or "")
    if state == "done":
        # result.json is the commit mark: without it the run did not end, whatever it says.
        state, reason = "interrupted", reason or "says done but has no result.json"
    if not reason:
        reason = f"last sign of life {status.get('updated', 'unknown')}"
    return {"state": state, "reason": f"{reason} ({reached})"}


def describe(document: Mapping[str, Any], gathered: Gathered) -> dict[str, Any]:
    """Return the columns that say what was run."""
    config = document.get("config") or {}
    dataset = document.get("dataset") or {}
    if not isinstance(config, Mapping) or not isinstance(dataset, Mapping):
        raise TypeError("config and dataset must be tables")
    key = str(document.get("config_hash") or content_hash(config))
    gathered.configs.setdefault(key, dict(config))
    model, train = table(config, "model"), table(config, "train")
    return {
        "kind": str(document.get("kind", "train")),
        "system": dataset.get("system"),
        "parameters": describe_parameters(dataset.get("parameters")),
        "lyapunov_exponent": number(dataset.get("lyapunov_exponent")),
        "dataset": dataset.get("content") or dataset.get("path"),
        "model": describe_model(model),
        "method": describe_method(train),
        "backend": document.get("backend") or train.get("backend"),
        "ranks": number(document.get("ranks")),
        "seed": number(config.get("seed")),
        "config_hash": key,
        "command": shlex.join(map(str, document.get("command") or [])),
    }


def table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a configuration, empty when it has none of that name."""
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def describe_parameters(parameters: Any) -> str:
    """Return ``"forcing=8, num_sites=40"``."""
    if isinstance(parameters, str):
        try:
            parameters = json.loads(parameters)
        except ValueError:
            return str(parameters)
    if not isinstance(parameters, Mapping):
        return ""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, int | float) else f"{name}={value}"
        for name, value in sorted(parameters.items())
    )


def describe_model(model: Mapping[str, Any]) -> str:
    """Return the model in a few words, such as ``"lstm 32 local(halo 4) increment"``."""
    words = [str(model[name]) for name in ("cell", "hidden") if model.get(name) is not None]
    if model.get("layers") not in (None, 1):
        words.append(f"×{model['layers']}")
    if model.get("coupling"):
        halo = f"(halo {model['halo']})" if model.get("halo") and words else ""
        words.append(f"{model['coupling']}{halo if model['coupling'] == 'local' else ''}")
    if model.get("target"):
        words.append(str(model["target"]))
    return " ".join(words)


def describe_method(train: Mapping[str, Any]) -> str:
    """Return the name of the training method, given as a name or as a table with one."""
    method = train.get("method")
    if isinstance(method, Mapping):
        method = method.get("name") or method.get("kind")
    return "" if method is None else str(method)


def number(value: Any) -> float:
    """Return ``value`` as a float, NaN when it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def read_metrics(metrics: Any, gathered: Gathered) -> dict[str, float]:
    """Return ``metric.NAME`` columns; the units go into ``gathered``."""
    if not isinstance(metrics, list):
        raise TypeError("metrics must be a list")
    row: dict[str, float] = {}
    for metric in metrics:
        name = str(metric["name"])
        row[f"metric.{name}"] = number(metric["value"])
        gathered.units.setdefault(name, str(metric.get("unit") or ""))
    return row


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


def as_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a frame with all of :data:`COLUMNS`, then the metrics by name."""
    names = dict.fromkeys(name for row in rows for name in row)
    metrics = sorted(name for name in names if name.startswith("metric."))
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *metrics])
    for name in ("lyapunov_exponent", "ranks", "seed", *metrics):
        frame[name] = frame[name].astype(float)
    return frame


def config_of(collection: Collection, config_hash: str) -> str:
    """Return the configuration behind a hash as canonical JSON (``{}`` when unknown)."""
    return canonical_json(collection.configs.get(config_hash, {}))
