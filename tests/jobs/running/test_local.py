"""Points on this machine: every way an attempt can end has its state, and the rest goes on."""

import argparse
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpcbench.errors import InputError, PartlyDone
from hpcbench.run.attempt import read_attempt
from hpcbench.run.point import Point
from jobs.commands import cancel, resume, status
from jobs.commands.submit import hand_over, report_counts
from jobs.records.study_folder import StudyFolder
from jobs.running import attempt
from jobs.running.local import Cores, LocalRunner
from jobs.site.profile import read_site
from jobs.status.overview import Overview
from jobs.status.states import PointState

Behave = Callable[[StudyFolder, str, str], None]
Make = Callable[..., StudyFolder]


def points(study: StudyFolder) -> list[Point]:
    return list(study.record().points)


def run_one(study: StudyFolder) -> PointState:
    """Run the only point and return its state."""
    LocalRunner(study, read_site("local"), [0]).run(points(study))
    (state,) = Overview(study).states()
    return state


@pytest.fixture
def one(make_study: Make) -> StudyFolder:
    return make_study(axes={}, resources={"retries": 0, "hang_minutes": 0.01})


def test_all_points_run_and_a_second_time_nothing_does(
    make_study: Make, fake_training: Behave, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(repeat={"min": 3})
    counts = hand_over(study, points(study), read_site("local"))
    assert counts == {"done": 6}
    assert report_counts(study, counts, True) == 0
    assert json.loads(capsys.readouterr().out)["results"] == [
        {"name": "done", "value": 6, "unit": "points"}
    ]
    assert [state.state for state in Overview(study).states()] == ["done"] * 6
    arguments = argparse.Namespace(
        study=str(study.path),
        out=study.runs,
        site=None,
        also=[],
        exclude=[],
        json=False,
        repeat=False,
    )
    assert resume.command(arguments) == 0
    assert "nothing to submit" in capsys.readouterr().err
    assert all(len(study.attempts(point.id)) == 1 for point in points(study))


def test_a_rank_killed_by_the_kernel_ran_out_of_memory(
    one: StudyFolder, fake_training: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    (point,) = points(one)
    fake_training(one, point.id, "killed")
    assert run_one(one).state == "failed"
    counts = iter([3, 4])
    monkeypatch.setattr(attempt, "out_of_memory_kills", lambda: next(counts))
    found = run_one(one)
    assert found.state == "out of memory"
    assert "the kernel killed a rank" in found.reason


@pytest.mark.parametrize(
    ("behaviour", "state", "reason"),
    [
        ("diverge", "diverged", "nan at step 3"),
        ("crash", "failed", "exit code -11"),
        ("input", "failed", "wrong input: hpcbench: train.window"),
        ("memory", "out of memory", "oom_kill"),
        ("node", "node failure", "Node failure on n2"),
        ("stacks", "failed", "stacks.0.txt"),
        ("hang", "failed", "no step was finished"),
    ],
)
def test_every_ending_has_its_state_and_reason(
    one: StudyFolder, fake_training: Behave, behaviour: str, state: str, reason: str
) -> None:
    (point,) = points(one)
    fake_training(one, point.id, behaviour)
    found = run_one(one)
    assert found.state == state
    assert reason in found.reason
    assert not found.submitted
    assert "training from step 0" in status.log_tail(found)


def test_a_crash_is_tried_again_from_the_checkpoint(
    make_study: Make, fake_training: Behave
) -> None:
    study = make_study(axes={}, resources={"retries": 1})
    (point,) = points(study)
    fake_training(study, point.id, "crash-once")
    assert run_one(study).state == "done"
    first, second = study.attempts(point.id)
    assert read_attempt(first).state == "failed"
    assert "from step 20" in (second / "log.txt").read_text()
    assert read_attempt(second).continues == "a1"


def test_retries_are_bounded(make_study: Make, fake_training: Behave) -> None:
    study = make_study(axes={}, resources={"retries": 2})
    (point,) = points(study)
    fake_training(study, point.id, "crash")
    assert run_one(study).state == "failed"
    assert len(study.attempts(point.id)) == 3


def test_what_diverged_starts_afresh(one: StudyFolder, fake_training: Behave) -> None:
    (point,) = points(one)
    fake_training(one, point.id, "diverge")
    run_one(one)
    fake_training(one, point.id, "done")
    assert run_one(one).state == "done"
    assert read_attempt(one.attempts(point.id)[-1]).continues is None


def test_work_longer_than_the_limit_is_split(
    one: StudyFolder, fake_training: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    (point,) = points(one)
    fake_training(one, point.id, "slow")
    runner = LocalRunner(one, read_site("local"), [0])
    runner.resources = replace(runner.resources, minutes=1.5 / 60)
    runner.run(points(one))
    folders = one.attempts(point.id)
    assert len(folders) > 1
    states = [read_attempt(folder).state for folder in folders]
    assert states == ["timed out"] * (len(folders) - 1) + ["done"]
    steps = [read_attempt(folder).first_step for folder in folders]
    assert steps == sorted(set(steps))


def test_without_split_it_stays_timed_out(make_study: Make, fake_training: Behave) -> None:
    study = make_study(axes={}, resources={"split": False})
    (point,) = points(study)
    fake_training(study, point.id, "slow")
    runner = LocalRunner(study, read_site("local"), [0])
    runner.resources = replace(runner.resources, minutes=1 / 60)
    assert runner.run(points(study)) == {"timed out": 1}


def test_cancel_stops_and_resume_finishes(
    make_study: Make, fake_training: Behave, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(repeat={"min": 2})
    for point in points(study):
        fake_training(study, point.id, "slow")
    place = {"study": str(study.path), "out": study.runs, "json": False}

    def cancel_soon() -> None:
        while not any(study.path.glob("points/*/a1/status.json")):
            time.sleep(0.02)
        cancel.command(argparse.Namespace(**place))

    thread = threading.Thread(target=cancel_soon)
    thread.start()
    with pytest.raises(PartlyDone, match="interrupted"):
        report_counts(study, hand_over(study, points(study), read_site("local")), False)
    thread.join()
    states = [state.state for state in Overview(study).states()]
    assert "cancelled" in states
    assert set(states) <= {"cancelled", "pending"}
    further = {"site": None, "also": [], "exclude": [], "repeat": False}
    assert resume.command(argparse.Namespace(**place, **further)) == 0
    assert {state.state for state in Overview(study).states()} == {"done"}


def test_a_rank_killed_after_its_result_leaves_the_point_done(
    one: StudyFolder, fake_training: Behave
) -> None:
    (point,) = points(one)
    fake_training(one, point.id, "killed-late")
    assert run_one(one).state == "done"
    assert read_attempt(one.attempts(point.id)[0]).exit_code != 0


def test_an_attempt_whose_writer_is_gone_is_lost(one: StudyFolder, fake_training: Behave) -> None:
    (point,) = points(one)
    run_one(one)
    folder = one.attempts(point.id)[-1]
    replace(read_attempt(folder), state="running", pid=2**22 + 1).write_to(folder)
    (state,) = Overview(one).states()
    assert (state.state, state.submitted) == ("lost", False)
    assert run_one(one).state == "done"


def test_two_jobs_never_share_an_attempt(one: StudyFolder) -> None:
    (point,) = points(one)
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(one.new_attempt(point.id))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in made) == sorted(f"a{i}" for i in range(1, 21))


def test_cores_are_shared_out() -> None:
    cores = Cores([0, 1, 2, 3])
    first = cores.take(3)
    assert first == [0, 1, 2]
    assert cores.take(2) is None
    assert cores.take(1) == [3]
    cores.give_back(first)
    assert cores.take(99) is None
    cores.give_back([3])
    assert sorted(cores.take(99) or []) == [0, 1, 2, 3]


def test_several_points_run_at_a_time(
    make_study: Make, fake_training: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(repeat={"min": 2})
    for point in points(study):
        fake_training(study, point.id, "slow")
    begin = time.monotonic()
    monkeypatch.setattr(attempt, "POLL_SECONDS", 0.05)
    LocalRunner(study, read_site("local"), [0, 0, 0, 0]).run(points(study))
    assert time.monotonic() - begin < 11  # each takes more than 3 s


def test_status_shows_reasons_and_the_log(
    one: StudyFolder, fake_training: Behave, capsys: pytest.CaptureFixture[str]
) -> None:
    (point,) = points(one)
    fake_training(one, point.id, "input")
    run_one(one)
    arguments = argparse.Namespace(study="test", out=one.runs, watch=False, all=False, json=False)
    assert status.command(arguments) == 0
    captured = capsys.readouterr()
    assert "wrong input" in captured.out
    assert "| hpcbench: train.window: too long" in captured.out
    assert "1 failed" in captured.err
    arguments.json = True
    status.command(arguments)
    document = json.loads(capsys.readouterr().out)
    assert document["counts"] == {"failed": 1}
    assert document["results"][0]["times"]["run"] >= 0


def test_no_repeats_are_added_where_the_step_time_is_known_well(
    make_study: Make, fake_training: Behave
) -> None:
    study = make_study(repeat={"min": 6, "max": 9, "half_width": 0.05})
    for point in points(study):
        if point.varied["train.backend"] == "mpi":
            fake_training(study, point.id, "steady")
    arguments = argparse.Namespace(
        study="test", out=study.runs, site=None, also=[], exclude=[], repeat=True, json=False
    )
    for _ in range(2):
        resume.command(arguments)
    backends = [point.varied["train.backend"] for point in points(study)]
    assert (backends.count("mpi"), backends.count("ddp")) == (6, 9)


def test_repeats_are_added_where_the_step_time_is_not_known_well(
    make_study: Make, fake_training: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(repeat={"min": 6, "max": 9, "half_width": 0.05})
    arguments = argparse.Namespace(
        study="test", out=study.runs, site=None, also=[], exclude=[], repeat=True, json=False
    )
    resume.command(arguments)  # nothing is done yet, so no repeat is added
    assert len(points(study)) == 12
    resume.command(arguments)  # six repeats span 20 %: the most are wanted
    assert len(points(study)) == 18
    assert {state.state for state in Overview(study).states()} == {"done"}
    resume.command(arguments)
    assert len(points(study)) == 18
    monkeypatch.setattr("jobs.running.repeats.source_version", lambda: "other")
    with pytest.raises(InputError, match="code changed"):
        resume.command(arguments)
