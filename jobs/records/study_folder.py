"""The folder of a study: ``runs/STUDY/`` with its points, their attempts, jobs and datasets."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcbench.config.toml_text import toml_text
from hpcbench.console import message
from hpcbench.errors import InputError, nearest
from hpcbench.run.attempt import AttemptRecord, read_attempt
from hpcbench.run.files import read_json, write_text
from hpcbench.run.record import SCHEMA
from jobs.records.study import PlannedResources, StudyRecord

if TYPE_CHECKING:
    from jobs.study.points import Plan


def describe(varied: Mapping[str, Any]) -> str:
    """Return what distinguishes a point as one printable line."""
    text = " ".join(f"{name}={value}" for name, value in varied.items())
    return text if text.isprintable() else ascii(text)


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

    def record(self) -> StudyRecord:
        """Return the content of ``study.json``."""
        return StudyRecord.read(self.plan_file)

    def write_plan(
        self, plan: "Plan", study_file: Path, site: str, folder: str | None = None
    ) -> int:
        """Write the plan and each new point's configuration; return the number of new points.

        ``folder`` is where ranks start, by default the current one. Raises :class:`InputError`
        where another release wrote the plan that is there.
        """
        self._refuse_another_release()
        try:
            self.jobs.mkdir(parents=True, exist_ok=True)
            (self.runs / "datasets").mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from None
        new = 0
        for point in plan.points:
            config = self.config(point.id)
            if not config.exists():
                new += 1
                config.parent.mkdir(parents=True, exist_ok=True)
                write_text(config, toml_text(point.config))
        for dataset in plan.datasets.values():
            file = dataset.file(self.runs).with_suffix(".toml")
            if dataset.content and not file.exists():
                write_text(file, toml_text(dataset.content))
        definition = plan.study.model_dump(mode="json")
        StudyRecord(
            study=definition["study"],
            scaling=definition["scaling"],
            quality=definition["quality"],
            resources=PlannedResources(**definition["resources"]),
            definition=definition,
            file=str(study_file),
            site=site,
            code=plan.code,
            datasets=plan.datasets,
            points=tuple(plan.points),
            folder=str(Path.cwd()) if folder is None else folder,
        ).write(self.plan_file)
        return new

    def _refuse_another_release(self) -> None:
        if not self.plan_file.exists():
            return
        try:
            content = read_json(self.plan_file)
        except InputError as error:
            message(f"{error}; it is written anew")
            return
        if isinstance(content, dict) and content.get("schema", SCHEMA) != SCHEMA:
            raise InputError(
                f"{self.plan_file}: schema {content['schema']!r:.80}; this release writes {SCHEMA};"
                " give another --out"
            )

    def point(self, identifier: str) -> Path:
        """Return the folder of a point."""
        return self.path / "points" / identifier

    def config(self, identifier: str) -> Path:
        """Return the file of a point's resolved configuration."""
        return self.point(identifier) / "config.toml"

    def attempt_records(self, identifier: str) -> list[AttemptRecord]:
        """Return the records of a point's attempts, oldest first."""
        return [read_attempt(folder) for folder in self.attempts(identifier)]

    def is_done(self, identifier: str) -> bool:
        """Tell whether a point has a result."""
        return any(record.state == "done" for record in self.attempt_records(identifier))

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
