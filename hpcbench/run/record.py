"""The run directory: what was asked, how it goes, what came out.

``run.json`` is written first and fixes the configuration; ``status.json`` is the heartbeat;
``result.json`` is written last and marks the run as finished. All are replaced atomically, so a
reader never sees half a file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from hpcbench.errors import InputError
from hpcbench.run.document import Document
from hpcbench.run.files import read_json
from hpcbench.run.status import RunStatus, State
from hpcbench.run.timing import now

SCHEMA = Document.SCHEMA
"""Major version of the records; readers refuse any other."""

RUN, RESULT = "run.json", "result.json"

LAUNCHERS_FILES = {"attempt.json", ".attempt.json.partial", "log.txt"}
"""What the process that starts the ranks of a sweep's point writes beside a run."""


@dataclass(frozen=True)
class Metric(Document):
    """One measured number: its value, unit, whether more is better, and how many went in."""

    name: str
    value: float | int | None
    unit: str = ""
    better: Literal["higher", "lower", "none"] = "none"
    n: int = 1


@dataclass(frozen=True)
class RunRecord(Document):
    """``run.json``: what defines a run.

    Attributes
    ----------
    config_hash
        Hash of what follows.
    config, dataset
        The whole configuration, and what its dataset is.
    """

    config_hash: str
    config: Mapping[str, Any]
    dataset: Mapping[str, Any]


@dataclass(frozen=True)
class RunResult(RunRecord):
    """``result.json``: what came out of a run, and the mark that it has ended.

    Attributes
    ----------
    kind
        ``train`` or ``forecast``.
    status, reason
        ``done`` or ``diverged``, and why.
    metrics
        What was measured.
    ranks, backend, command
        Number of ranks, the back-end, and the command or call that really ran.
    """

    kind: str
    status: State
    metrics: tuple[Metric, ...]
    ranks: int | None = None
    backend: str | None = None
    command: tuple[str, ...] = ()
    reason: str = ""

    @property
    def values(self) -> dict[str, float | int | None]:
        """Value of each metric by name."""
        return {metric.name: metric.value for metric in self.metrics}

    def number(self, name: str) -> float:
        """Return a metric as a float, not a number where it has no value."""
        value = self.values[name]
        return math.nan if value is None else float(value)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The metrics as a command prints them."""
        return [metric.as_row() for metric in self.metrics]


def read_result(folder: Path) -> RunResult:
    """Return the result of a run; raise :class:`InputError` where there is none."""
    return RunResult.read(folder / RESULT)


def has_result(folder: Path) -> bool:
    """Tell whether a folder holds the result of a run that is done."""
    try:
        return read_result(folder).status == "done"
    except InputError:
        return False


class RunDirectory:
    """A run's folder, owned by rank 0.

    Parameters
    ----------
    path
        The folder; made when missing.
    config, dataset
        What defines the run. A folder that holds a run of another definition is refused.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
        self.path = path
        # Imported here: those that only read and write records start sooner without it.
        from hpcbench.config.tree import content_hash

        config_hash = content_hash({"config": config, "dataset": dataset})
        self.run = RunRecord(config_hash, config, dataset)

    def open(self, resume: bool) -> None:
        """Claim the folder for this run; raise :class:`InputError` when it belongs to another."""
        existing = self.path / RUN
        if existing.exists():
            self._compare(read_json(existing))
            if not resume:
                raise InputError(
                    f"{self.path}: this run was started before; give --resume to continue it, or "
                    "another --out"
                )
        elif self.path.is_dir() and {p.name for p in self.path.iterdir()} - LAUNCHERS_FILES:
            raise InputError(
                f"{self.path}: this folder holds other files and no run.json; give another --out"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.run.write(existing)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _compare(self, other: dict[str, Any]) -> None:
        if other.get("schema") != SCHEMA:
            raise InputError(
                f"{self.path}/run.json: schema {other.get('schema')}; this release reads {SCHEMA}"
            )
        if other.get("config_hash") != self.run.config_hash:
            changed = ", ".join(_differences(other, self.run.as_json())) or "config_hash"
            raise InputError(
                f"{self.path}: holds a run of another configuration (differs in: {changed}); "
                "give another --out, or the same settings"
            )

    @property
    def finished(self) -> bool:
        """Whether the commit mark is there."""
        return (self.path / RESULT).exists()

    def status(self, state: State, step: int, num_steps: int, reason: str = "") -> None:
        """Write the heartbeat."""
        RunStatus(state, step, num_steps, reason, updated=now()).write_to(self.path)

    def result(
        self, kind: str, status: State, metrics: Sequence[Metric], **further: Any
    ) -> RunResult:
        """Write the commit mark and return it."""
        known = {field.name: getattr(self.run, field.name) for field in fields(self.run)}
        result = RunResult(**known, kind=kind, status=status, metrics=tuple(metrics), **further)
        result.write(self.path / RESULT)
        return result


def _differences(old: Any, new: Any, place: str = "") -> list[str]:
    """Return the dotted names of what differs between two trees of plain data."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted((set(old) | set(new)) - {"config_hash"})
        return [
            difference
            for name in names
            for difference in _differences(
                old.get(name), new.get(name), f"{place}.{name}" if place else name
            )
        ]
    return [] if old == new else [place]
