"""The run directory: what was asked, how it goes, what came out.

``run.json`` is written first and fixes the configuration; ``status.json`` is the heartbeat;
``result.json`` is written last and marks the run as finished. All are replaced atomically, so a
reader never sees half a file.
"""

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hpcbench.errors import InputError
from hpcbench.run.files import read_json, write_json

__all__ = ["SCHEMA", "Metric", "RunDirectory", "State", "read_json", "write_json"]

SCHEMA = 1
"""Major version of the records; readers refuse any other."""

LAUNCHERS_FILES = {"attempt.json", ".attempt.json.partial", "log.txt"}
"""What the process that starts the ranks of a sweep's point writes beside a run."""

State = Literal["running", "done", "failed", "diverged", "interrupted"]


@dataclass(frozen=True)
class Metric:
    """One measured number: its value, unit, whether more is better, and how many went in."""

    name: str
    value: float | None
    unit: str = ""
    better: Literal["higher", "lower", "none"] = "none"
    n: int = 1


class RunDirectory:
    """A run's folder, owned by rank 0.

    Parameters
    ----------
    path
        The folder; made when missing.
    run
        What defines the run: ``config`` and ``dataset``. A folder that holds a run of another
        definition is refused.
    """

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path = path
        # Imported here: those that only read and write records start sooner without it.
        from hpcbench.config.tree import content_hash

        self.run = {"schema": SCHEMA, "config_hash": content_hash(run), **run}

    def open(self, resume: bool) -> None:
        """Claim the folder for this run; raise :class:`InputError` when it belongs to another."""
        existing = self.path / "run.json"
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
            write_json(existing, self.run)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _compare(self, other: dict[str, Any]) -> None:
        if other.get("schema") != SCHEMA:
            raise InputError(
                f"{self.path}/run.json: schema {other.get('schema')}; this release reads {SCHEMA}"
            )
        if other.get("config_hash") != self.run["config_hash"]:
            changed = ", ".join(_differences(other, self.run)) or "config_hash"
            raise InputError(
                f"{self.path}: holds a run of another configuration (differs in: {changed}); "
                "give another --out, or the same settings"
            )

    @property
    def finished(self) -> bool:
        """Whether the commit mark is there."""
        return (self.path / "result.json").exists()

    def status(self, state: State, step: int, num_steps: int, reason: str = "") -> None:
        """Write the heartbeat."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        heartbeat = {"state": state, "step": step, "num_steps": num_steps}
        write_json(self.path / "status.json", {**heartbeat, "updated": now, "reason": reason})

    def result(
        self, kind: str, status: State, metrics: list[Metric], **further: Any
    ) -> dict[str, Any]:
        """Write the commit mark and return it."""
        record = {**self.run, "kind": kind, "status": status, **further}
        record["metrics"] = [asdict(metric) for metric in metrics]
        write_json(self.path / "result.json", record)
        return record


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
