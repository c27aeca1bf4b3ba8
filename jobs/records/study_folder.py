"""The folder of a study: ``runs/STUDY/`` with its points, their attempts, jobs and datasets."""

import datetime
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcbench.config.toml_text import toml_text
from hpcbench.errors import InputError, nearest
from hpcbench.run.record import read_json, write_json

if TYPE_CHECKING:
    from jobs.study.points import Plan

SCHEMA = 1


def now() -> str:
    """Return the time as records write it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def describe(varied: Mapping[str, Any]) -> str:
    """Return what distinguishes a point as one printable line."""
    text = " ".join(f"{name}={value}" for name, value in varied.items())
    return text if text.isprintable() else ascii(text)


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Return the seconds from one recorded time to another."""
    if not begin or not end:
        return None
    parse = datetime.datetime.fromisoformat
    return (parse(end) - parse(begin)).total_seconds()


class StudyFolder:
    """Where everything of a study is.

    Parameters
    ----------
    path
        ``runs/STUDY``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def runs(self) -> Path:
        """The folder of all studies."""
        return self.path.parent

    @property
    def plan_file(self) -> Path:
        """``study.json``."""
        return self.path / "study.json"

    @property
    def jobs(self) -> Path:
        """Job files and logs."""
        return self.path / "jobs"

    def description(self) -> dict[str, Any]:
        """Return the content of ``study.json``."""
        description = read_json(self.plan_file)
        if not isinstance(description, dict) or description.get("schema") != SCHEMA:
            raise InputError(
                f"{self.plan_file}: not a study of schema {SCHEMA}, which this program reads"
            )
        return description

    def write_plan(self, plan: "Plan", study_file: Path, site: str) -> int:
        """Write the plan and each new point's configuration; return the number of new points."""
        try:
            self.jobs.mkdir(parents=True, exist_ok=True)
            (self.runs / "datasets").mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from None
        new = 0
        for point in plan.points:
            folder = self.point(point.id)
            if not (folder / "config.toml").exists():
                new += 1
                folder.mkdir(parents=True, exist_ok=True)
                _write_text(folder / "config.toml", toml_text(point.config))
        for dataset in plan.datasets.values():
            file = dataset.file(self.runs).with_suffix(".toml")
            if dataset.content and not file.exists():
                _write_text(file, toml_text(dataset.content))
        study = plan.study.model_dump(mode="json")
        description = {
            "schema": SCHEMA,
            "study": study["study"],
            "scaling": study["scaling"],
            "quality": study["quality"],
            "resources": study["resources"],
            "definition": study,
            "file": str(study_file),
            "site": site,
            "code": plan.code,
            "datasets": {key: asdict(dataset) for key, dataset in plan.datasets.items()},
            "points": [point.as_dict() for point in plan.points],
        }
        write_json(self.plan_file, description)
        return new

    def point(self, identifier: str) -> Path:
        """Return the folder of a point."""
        return self.path / "points" / identifier

    def attempts(self, identifier: str) -> list[Path]:
        """Return the folders of a point's attempts, oldest first."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.point(identifier)) as entries:
            found = [entry.name for entry in entries if entry.name[:1] == "a"]
        numbers = sorted(int(name[1:]) for name in found if name[1:].isdigit())
        return [self.point(identifier) / f"a{number}" for number in numbers]

    def new_attempt(self, identifier: str) -> Path:
        """Make the folder of the next attempt; two jobs never get the same one."""
        self.point(identifier).mkdir(parents=True, exist_ok=True)
        while True:
            attempts = self.attempts(identifier)
            number = int(attempts[-1].name[1:]) + 1 if attempts else 1
            folder = self.point(identifier) / f"a{number}"
            with suppress(FileExistsError):
                folder.mkdir()
                return folder


def carry_over(previous: Path, attempt: Path) -> bool:
    """Let an attempt go on from the checkpoints of the one before it; tell whether it has any."""
    steps = sorted((previous / "checkpoint").glob("[0-9]*"))
    if not steps or not (previous / "run.json").exists():
        return False
    for step in steps:
        shutil.copytree(step, attempt / "checkpoint" / step.name)
    shutil.copy2(previous / "run.json", attempt / "run.json")
    return True


def find_study(name: str, runs: Path) -> StudyFolder:
    """Return the folder of a study given as its file, its name or its folder."""
    # Imported here: a job's driver starts sooner without it.
    from hpcbench.config.tree import read_toml
    from jobs.study.file import NAME

    candidates = [Path(name), runs / name]
    if name.endswith(".toml"):
        title = read_toml(name).get("study", {}).get("name")
        candidates = [runs / title] if isinstance(title, str) and NAME.fullmatch(title) else []
    for path in candidates:
        if (path / "study.json").is_file():
            return StudyFolder(path)
    known = sorted(path.parent.name for path in runs.glob("*/study.json"))
    raise InputError(
        f'"{name}": no study of this name in {runs}{nearest(name, known)}; '
        f"known: {', '.join(known) or 'none'}; start one with hpcbench submit STUDY.toml"
    )


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
