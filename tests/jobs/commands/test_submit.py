"""The commands of a sweep as a user types them."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hpcbench
from hpcbench.errors import InputError, PartlyDone
from jobs.commands import resume, submit
from jobs.launch import launch
from jobs.records.study_folder import StudyFolder

from ..conftest import write_attempt

STUDY = """
[study]
name = "typed"

[dataset]
path = "data.h5"

[train]
steps = 10
global_batch = 64

[axes.grid]
backend = ["mpi", "ddp"]

[repeat]
min = 1
"""


@pytest.fixture
def typed(tmp_path: Path) -> Path:
    (tmp_path / "data.h5").write_bytes(b"any")
    path = tmp_path / "typed.toml"
    path.write_text(STUDY)
    return path


def arguments(path: Path, **further: Any) -> argparse.Namespace:
    values = {"study": path, "site": "local", "out": path.parent / "runs", "overrides": []}
    return argparse.Namespace(**values | {"json": True} | further)


def test_submit_twice_and_extend(
    typed: Path,
    fake_training: Callable[[StudyFolder, str, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def submitted(*overrides: str) -> list[Any]:
        assert submit.command(arguments(typed, overrides=list(overrides))) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        return [(result["name"], result["value"]) for result in results]

    assert submitted() == [("done", 2)]
    assert submitted() == [("submitted", 0)]
    # a wider study runs what is new and keeps what is done
    assert submitted("--axes.grid.hidden", "[32, 64]") == [("done", 2)]
    assert len(list(typed.parent.glob("runs/typed/points/*/a1/result.json"))) == 4


def test_a_plan_of_another_release_is_refused_and_a_damaged_one_written_anew(
    typed: Path,
    fake_training: Callable[[StudyFolder, str, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert submit.command(arguments(typed)) == 0
    plan = typed.parent / "runs" / "typed" / "study.json"
    plan.write_text('{"schema": 2}')
    with pytest.raises(InputError, match=r"study\.json: schema 2; this release writes 1"):
        submit.command(arguments(typed))
    assert plan.read_text() == '{"schema": 2}'
    plan.write_text('{"schema": 1, "stu')
    capsys.readouterr()
    assert submit.command(arguments(typed)) == 0
    assert "study.json: cannot be read as JSON" in capsys.readouterr().err


def test_ranks_start_where_the_study_was_submitted(
    typed: Path,
    fake_training: Callable[[StudyFolder, str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Classes of the user's own may lie there."""
    runs, elsewhere = typed.parent / "runs", tmp_path / "elsewhere"
    elsewhere.mkdir()
    hpcbench.submit(typed, out=runs)
    study = StudyFolder(runs / "typed")
    assert study.record().folder == str(Path.cwd())
    shutil.rmtree(study.attempts(study.record().points[0].id)[0])
    seen: list[Path | None] = []
    run = launch.run
    monkeypatch.setattr(launch, "run", lambda *a, **k: (seen.append(k["folder"]), run(*a, **k))[1])
    here = Path.cwd()
    monkeypatch.chdir(elsewhere)
    resumed = {"also": [], "exclude": [], "repeat": False, "site": None, "json": False}
    where = {"study": str(study.path), "out": runs}
    assert resume.command(argparse.Namespace(**where, **resumed)) == 0
    assert seen == [here]


def test_the_calls_of_a_session(
    typed: Path, fake_training: Callable[[StudyFolder, str, str], None]
) -> None:
    runs = typed.parent / "runs"
    assert hpcbench.submit(typed, out=runs) == {"done": 2}
    assert [state.state for state in hpcbench.status("typed", runs)] == ["done"] * 2
    assert hpcbench.submit(str(typed), "local", str(runs)) == {"submitted": 0}
    with pytest.raises(InputError, match="no study of this name"):
        hpcbench.status("typo", runs)


def test_what_failed_is_named_and_left_to_resume(
    typed: Path,
    fake_training: Callable[[StudyFolder, str, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    overrides = ["--resources.retries", "0"]
    submit.command(arguments(typed, overrides=overrides))
    study = StudyFolder(typed.parent / "runs" / "typed")
    point = study.record().points[0].id
    write_attempt(study.attempts(point)[0], state="failed", reason="x")
    capsys.readouterr()
    assert submit.command(arguments(typed, overrides=overrides)) == 0
    assert "not done: 1 failed" in capsys.readouterr().err
    fake_training(study, point, "crash")
    again = arguments(typed, site=None, study="typed", also=[], exclude=[], repeat=False)
    with pytest.raises(PartlyDone, match="1 failed"):
        resume.command(again)
    fake_training(study, point, "done")
    assert resume.command(again) == 0


@pytest.mark.parametrize(
    ("further", "match"),
    [
        ({"also": ["diverg"]}, 'did you mean "diverged"'),
        ({"exclude": ["n1; rm"]}, "no name of a node"),
        ({"study": "tiped"}, "did you mean"),
    ],
)
def test_resume_refuses(
    typed: Path,
    fake_training: Callable[[StudyFolder, str, str], None],
    further: dict[str, Any],
    match: str,
) -> None:
    submit.command(arguments(typed))
    base = {"study": "typed", "also": [], "exclude": [], "repeat": False}
    with pytest.raises(InputError, match=match):
        resume.command(arguments(typed, **base | further))


def test_wrong_studies_end_with_a_message_and_code_2(run_cli: Any, tmp_path: Path) -> None:
    study = tmp_path / "wrong.toml"
    study.write_text('[study]\nname = "../../up"\n[dataset]\nspec = "x"\n')
    for command in (["plan", study], ["submit", study, "--site", "local"]):
        result = run_cli(command, cwd=tmp_path)
        assert result.returncode == 2
        assert "study.name" in result.stderr
        assert "Traceback" not in result.stderr
    result = run_cli(["submit", study, "--site", "nowhere"], cwd=tmp_path)
    assert result.returncode == 2
    result = run_cli(["status", "nothing"], cwd=tmp_path)
    assert result.returncode == 2
    assert "known: none" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]
