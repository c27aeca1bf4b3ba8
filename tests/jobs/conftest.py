"""Studies with a stand-in for training that takes milliseconds, and a stand-in for Slurm."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbench.config.tree import validate
from hpcbench.run.attempt import AttemptRecord
from jobs.records.study_folder import StudyFolder
from jobs.records.submissions import Submission
from jobs.study.file import Study
from jobs.study.points import plan_study

FAKE_TRAIN = Path(__file__).parent / "fake_train.py"

SBATCH = """#!{python}
import json, os, pathlib, subprocess, sys
folder = pathlib.Path({folder!r})
number = len(list(folder.glob("job-*.sh"))) + 101
refuse = folder / "refuse-after"
if refuse.exists() and number - 100 > int(refuse.read_text()):
    print("sbatch: error: QOSMaxSubmitJobPerUserLimit", file=sys.stderr)
    raise SystemExit(1)
(folder / f"job-{{number}}.sh").write_text(pathlib.Path(sys.argv[-1]).read_text())
(folder / "environment.json").write_text(json.dumps(dict(os.environ)))
print(f"Submitted batch job {{number}}")
if (folder / "run-jobs").exists():
    log = (folder / f"job-{{number}}.log").open("w")
    environment = os.environ | {{"SLURM_JOB_ID": str(number), "SLURM_JOB_NODELIST": "here"}}
    script = ["bash", str(folder / f"job-{{number}}.sh")]
    subprocess.Popen(script, env=environment, stdout=log, stderr=log, start_new_session=True)
"""

SAYS = """#!{python}
import pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "calls.txt").open("a") as calls:
    print({name!r}, *sys.argv[1:], file=calls)
answer = folder / {name!r}
print(answer.read_text() if answer.exists() else "", end="")
"""


@pytest.fixture(autouse=True)
def one_version_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of points stay what they are although somebody edits the checkout meanwhile."""
    for module in ("study.points", "study.datasets", "running.repeats", "slurm.driver"):
        monkeypatch.setattr(f"jobs.{module}.source_version", lambda *packages: "this version")


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., StudyFolder]:
    """Return a function that plans a study below ``tmp_path`` with a dataset that exists."""

    def make(site: str = "local", **tables: Any) -> StudyFolder:
        data = tmp_path / "data.h5"
        data.write_bytes(b"any")
        base: dict[str, Any] = {
            "study": {"name": "test"},
            "dataset": {"path": str(data)},
            "train": {"steps": 10, "global_batch": 64},
            "axes": {"grid": {"backend": ["mpi", "ddp"]}},
            "repeat": {"min": 1},
        }
        study = validate(Study, {**base, **tables}, "study.toml")
        folder = StudyFolder(tmp_path / "runs" / study.study.name)
        folder.write_plan(plan_study(study, tmp_path / "study.toml"), tmp_path / "s.toml", site)
        return folder

    return make


@pytest.fixture
def fake_training(monkeypatch: pytest.MonkeyPatch) -> Callable[[StudyFolder, str, str], None]:
    """Replace training; return ``behave(study, point, what)`` (see fake_train.py)."""

    def argv(*arguments: str | Path) -> list[str]:
        return [sys.executable, "-S", str(FAKE_TRAIN), *(str(word) for word in arguments)]

    monkeypatch.setattr("jobs.launch.command.hpcbench_argv", argv)
    monkeypatch.setattr(
        "jobs.launch.mpirun.find_launcher", lambda: str(FAKE_TRAIN.with_name("fake_mpirun"))
    )

    monkeypatch.setattr("jobs.running.local.GRACE_SECONDS", 2.0)

    def behave(study: StudyFolder, point: str, what: str) -> None:
        (study.point(point) / "behaviour").write_text(what)

    return behave


class FakeSlurm:
    """Slurm's commands as scripts: they answer what the test wrote, and note their arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def says(self, command: str, text: str) -> None:
        (self.folder / command).write_text(text)

    def calls(self) -> list[str]:
        try:
            return (self.folder / "calls.txt").read_text().splitlines()
        except FileNotFoundError:
            return []

    def scripts(self) -> list[str]:
        return [path.read_text() for path in sorted(self.folder.glob("job-*.sh"))]


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    folder, programs = tmp_path / "slurm", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    texts = {"sbatch": SBATCH} | dict.fromkeys(
        ("squeue", "sacct", "scontrol", "scancel", "srun", "sinfo", "sacctmgr"), SAYS
    )
    for name, text in texts.items():
        path = programs / name
        path.write_text(text.format(python=sys.executable, folder=str(folder), name=name))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return FakeSlurm(folder)


def write_attempt(folder: Path, **known: Any) -> None:
    """Write the record of an attempt."""
    folder.mkdir(parents=True, exist_ok=True)
    AttemptRecord(point=folder.parent.name, attempt=folder.name, **known).write_to(folder)


def submission(job_id: str, point: str, submitted: str) -> Submission:
    """Return the submission of one point."""
    return Submission(job_id, (point,), submitted, file="")
