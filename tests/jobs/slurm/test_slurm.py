"""What Slurm says is read whole: ranges, lag, unknown states, requeued and refused jobs."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbench.config.tree import validate
from hpcbench.errors import EnvironmentLacks, InputError, PartlyDone
from hpcbench.run.attempt import Cause, read_attempt
from hpcbench.run.point import Point
from hpcbench.run.timing import now
from jobs.commands import cancel, status
from jobs.records.job_file import JobFile
from jobs.records.study_folder import StudyFolder
from jobs.records.submissions import read_submissions, record_submissions
from jobs.site.profile import Site, read_site
from jobs.slurm import driver, queue
from jobs.slurm.batch import setup_lines
from jobs.slurm.submitter import Submitter
from jobs.status.overview import Overview
from jobs.status.states import PointState, bad_nodes

from ..conftest import FakeSlurm, submission, write_attempt

Make = Callable[..., StudyFolder]
SITE = Site(scheduler="slurm", launcher="srun", max_array_size=1000)
NASTY = [
    "a b", "x;touch y", "$(touch y)", "`touch y`", "a\nb", "a'b", 'a"b', "../up", "-x", "a\\b", "",
    "#x", "a\0b", "a\tb", "%j", "x>y", "x|y;z", "a,b",
]  # fmt: skip


def points(study: StudyFolder) -> list[Point]:
    return list(study.record().points)


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("7", ["7"]),
        ("7_3", ["7_3"]),
        ("7_[1-3,5%2]", ["7_1", "7_2", "7_3", "7_5"]),
        ("7_[9]", ["7_9"]),
    ],
)
def test_array_names(name: str, tasks: list[str]) -> None:
    assert queue.expand(name) == tasks


def test_accounting_lines() -> None:
    text = "\n".join(
        [
            "7_0|COMPLETED|n1|2026-01-01T00:00:00|2026-01-01T00:00:01|2026-01-01T00:00:02",
            "7_0.batch|FAILED|n1|||",
            "7_1|CANCELLED by 1000|n2|||",
            "7_2|UNKNOWN|n2|||",
            "7_[3-4]|PENDING|None assigned|||",
            "7_5|OUT_OF_ME+|n1|||",
            "7_6|REQUEUED|n1|||",
            "7_6|RUNNING|n2|||",
            "not a line",
        ]
    )
    jobs = queue.parse_accounting(text)
    assert {name: job.state for name, job in jobs.items()} == {
        "7_0": "COMPLETED",
        "7_1": "CANCELLED",
        "7_3": "PENDING",
        "7_4": "PENDING",
        "7_5": "OUT_OF_ME",
        "7_6": "RUNNING",
    }


def test_one_look_is_two_commands_at_most(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.says("squeue", "7_[0-499]|PENDING|Priority|\n")
    fake_slurm.says("sacct", "".join(f"7_{i}|COMPLETED|n1|||\n" for i in range(500, 1000)))
    wanted = [f"7_{i}" for i in range(1000)]
    cache = tmp_path / "cache.json"
    jobs = queue.look(wanted, cache, 60)
    assert len(jobs) == 1000
    assert [call.split()[0] for call in fake_slurm.calls()] == ["squeue", "sacct"]
    assert queue.look(wanted, cache, 60) == jobs
    assert len(fake_slurm.calls()) == 2
    assert queue.look(wanted, cache, 0) == jobs
    assert len(fake_slurm.calls()) == 4


def test_the_queue_counts_for_more_than_late_accounting(fake_slurm: FakeSlurm) -> None:
    fake_slurm.says("squeue", "7|RUNNING|None|n1\n")
    fake_slurm.says("sacct", "7|PENDING||||\n8|FAILED|n1|||\n")
    assert {k: j.state for k, j in queue.look(["7", "8"]).items()} == {
        "7": "RUNNING",
        "8": "FAILED",
    }


def test_without_slurm_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLacks, match="squeue: not found"):
        queue.look(["1"])
    with pytest.raises(EnvironmentLacks, match=r"sbatch, srun.*login node"):
        Submitter(StudyFolder(tmp_path), SITE)


def test_arrays_are_cut_and_chained_to_the_dataset(
    make_study: Make, fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    study = make_study(
        site="slurm",
        dataset={"spec": "sims/specs/lorenz96_smoke.toml"},
        scaling={"ranks": [1, 2, 4]},
        repeat={"min": 5},
        resources={"ranks_per_node": 2, "minutes": 7},
    )
    site = SITE.model_copy(update={"max_array_size": 8, "throttle": 3})
    assert Submitter(study, site, ["bad1"]).submit(points(study)) == 31
    dataset, *arrays = fake_slurm.scripts()
    assert "--array" not in dataset
    sizes = []
    for script in arrays:
        assert "#SBATCH --dependency=afterok:101\n" in script
        assert "#SBATCH --exclude=bad1\n" in script
        assert "#SBATCH --time=7\n" in script
        assert "wckey" not in script
        last = script.partition("--array=0-")[2].partition("%")[0]
        sizes.append((int(last) + 1, script.partition("--nodes=")[2].split()[0]))
    assert sorted(sizes) == [(2, "1"), (2, "1"), (2, "2"), (8, "1"), (8, "1"), (8, "2")]
    assert "%3\n" in arrays[0]
    entries = read_submissions(study)
    assert len({point for entry in entries for point in entry.points}) == 30
    assert [entry.job_id for entry in entries[:3]] == ["101", "102_0", "102_1"]


def test_a_job_sees_the_allowed_variables_only(
    make_study: Make, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_TIMELIMIT", "1")
    monkeypatch.setenv("MY_SECRET", "x")
    monkeypatch.setenv("HOROVOD_CYCLE_TIME", "2")
    site = SITE.model_copy(update={"pass_environment": ["HOROVOD_CYCLE_TIME"]})
    Submitter(study := make_study(site="slurm"), site).submit(points(study))
    (script,) = fake_slurm.scripts()
    assert "#SBATCH --export=ALL\n" in script
    seen = json.loads((fake_slurm.folder / "environment.json").read_text())
    assert seen["HOROVOD_CYCLE_TIME"] == "2"
    assert seen["PATH"] == os.environ["PATH"]
    assert not {"MY_SECRET", "SBATCH_TIMELIMIT"} & set(seen)
    assert os.environ["MY_SECRET"] == "x"


def test_submitting_again_asks_for_nothing(make_study: Make, fake_slurm: FakeSlurm) -> None:
    study = make_study(site="slurm")
    Submitter(study, SITE).submit(points(study))
    fake_slurm.says("squeue", "101_[0-1]|PENDING|Priority|\n")
    states = Overview(study).states(max_age=0)
    assert [(s.state, s.reason, s.submitted) for s in states] == [("pending", "Priority", True)] * 2


def test_a_refused_job_keeps_what_was_accepted(make_study: Make, fake_slurm: FakeSlurm) -> None:
    study = make_study(site="slurm", repeat={"min": 3})
    (fake_slurm.folder / "refuse-after").write_text("1")
    site = SITE.model_copy(update={"max_array_size": 4})
    with pytest.raises(PartlyDone, match=r"(?s)QOSMaxSubmit.*4 jobs were submitted"):
        Submitter(study, site).submit(points(study))
    assert len(read_submissions(study)) == 4
    left = [s for s in Overview(study).states(max_age=0) if s.reason == "not submitted"]
    assert len(left) == 2
    (fake_slurm.folder / "refuse-after").write_text("0")
    with pytest.raises(InputError, match="sbatch refused"):
        Submitter(study, site).submit(points(study))


def test_the_dataset_of_another_study_is_waited_for(
    make_study: Make, fake_slurm: FakeSlurm
) -> None:
    spec = {"spec": "sims/specs/lorenz96_smoke.toml"}
    first = make_study(site="slurm", dataset=spec)
    Submitter(first, SITE).submit(points(first))
    fake_slurm.says("squeue", "101|RUNNING|None|n1\n")
    second = make_study(site="slurm", dataset=spec, study={"name": "second"})
    Submitter(second, SITE).submit(points(second))
    assert len(fake_slurm.scripts()) == 3
    assert "--dependency=afterok:101" in fake_slurm.scripts()[2]


@pytest.mark.parametrize(
    ("record", "queue", "accounting", "state", "submitted"),
    [
        (None, "5|PENDING|Resources|", "", "pending", True),
        (None, "5|PENDING|DependencyNeverSatisfied|", "", "failed", False),
        (None, "5|RUNNING|None|n1", "", "running", True),
        (None, "", "5|CANCELLED by 0|n1|||", "cancelled", False),
        (None, "", "5|NODE_FAIL|n1|||", "node failure", False),
        (None, "", "", "pending", True),  # not visible yet
        ("running", "5|RUNNING|None|n1", "", "running", True),
        ("running", "5|PENDING|BeginTime|", "", "pending", True),
        ("running", "", "5|TIMEOUT|n1|||", "timed out", False),
        ("running", "", "5|PREEMPTED|n1|||", "preempted", False),
        ("running", "", "5|OUT_OF_MEMORY|n1|||", "out of memory", False),
        ("running", "", "5|NODE_FAIL|n1|||", "node failure", False),
        ("running", "", "5|COMPLETED|n1|||", "lost", False),
        ("running", "", "5|UNKNOWN|n1|||", "running", True),
        ("interrupted", "", "5|PREEMPTED|n1|||", "preempted", False),
        ("interrupted", "", "5|CANCELLED|n1|||", "cancelled", False),
        ("diverged", "", "5|FAILED|n1|||", "diverged", False),
        ("timed out", "5|PENDING|BeginTime|", "", "pending", True),
        ("failed", "", "", "failed", False),
        ("done", "5|PENDING|None|", "", "done", False),
    ],
)
def test_state_of_a_point(
    record: str | None,
    queue: str,
    accounting: str,
    state: str,
    submitted: bool,
    make_study: Make,
    fake_slurm: FakeSlurm,
) -> None:
    study = make_study(site="slurm", axes={})
    (point,) = points(study)
    record_submissions(study, [submission("5", point.id, now())])
    if record:
        known = {"state": record, "job_id": "5", "updated": now(), "host": "elsewhere"}
        write_attempt(study.point(point.id) / "a1", **known)
    fake_slurm.says("squeue", queue + "\n")
    fake_slurm.says("sacct", accounting + "\n")
    (found,) = Overview(study).states(max_age=0)
    assert (found.state, found.submitted) == (state, submitted), found
    assert found.reason or state in ("running", "done", *([record] if record else []))


def test_a_local_resume_counts_for_more_than_the_job_before_it(
    make_study: Make, fake_slurm: FakeSlurm
) -> None:
    study = make_study(site="slurm", axes={})
    (point,) = points(study)
    earlier = "2026-01-01T00:00:00+00:00"
    record_submissions(study, [submission("5", point.id, earlier)])
    record = {"state": "failed", "reason": "hung", "job_id": "local-1", "updated": now()}
    write_attempt(study.point(point.id) / "a1", **record)
    fake_slurm.says("sacct", "5|TIMEOUT|n1|||\n")
    (found,) = Overview(study).states(max_age=0)
    assert (found.state, found.reason) == ("failed", "hung")
    record_submissions(study, [submission("6", point.id, now())])
    fake_slurm.says("squeue", "6|PENDING|Priority|\n")
    (found,) = Overview(study).states(max_age=0)
    assert (found.state, found.reason, found.submitted) == ("pending", "Priority", True)


def test_silence_of_heartbeat_and_scheduler_is_a_loss(
    make_study: Make, fake_slurm: FakeSlurm
) -> None:
    study = make_study(site="slurm", axes={})
    (point,) = points(study)
    old = "2026-01-01T00:00:00+00:00"
    record_submissions(study, [submission("5", point.id, old)])

    def state() -> PointState:
        return Overview(study).states(max_age=0)[0]

    assert state().state == "lost"
    record = {"state": "running", "job_id": "5", "updated": old, "host": "elsewhere"}
    write_attempt(study.point(point.id) / "a1", **record)
    assert state().state == "lost"
    fake_slurm.says("squeue", "5|RUNNING|None|n1\n")
    assert state().state == "running"
    assert "no heartbeat" in state().reason


def test_status_of_a_thousand_points_is_quick(
    make_study: Make, fake_slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(
        site="slurm", axes={"grid": {"hidden": list(range(1, 1001))}}, study={"name": "many"}
    )
    everything = points(study)
    for number, point in enumerate(everything[:600]):
        state = "done" if number < 500 else "running"
        write_attempt(study.point(point.id) / "a1", state=state, updated=now(), job_id="5")
    entries = [submission(f"5_{i}", point.id, now()) for i, point in enumerate(everything)]
    record_submissions(study, entries)
    fake_slurm.says("squeue", "5_[500-599]|RUNNING|None|n1\n5_[600-999]|PENDING|Priority|\n")
    arguments = argparse.Namespace(study="many", out=study.runs, watch=False, all=False, json=True)
    begin = time.perf_counter()
    status.command(arguments)
    assert time.perf_counter() - begin < 2
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts == {"pending": 400, "running": 100, "done": 500}
    assert len(fake_slurm.calls()) <= 2


def test_cancel_names_the_jobs(make_study: Make, fake_slurm: FakeSlurm) -> None:
    study = make_study(site="slurm")
    Submitter(study, SITE).submit(points(study))
    fake_slurm.says("squeue", "101_[0-1]|PENDING|Priority|\n")
    cancel.command(argparse.Namespace(study="test", out=study.runs, json=False))
    assert fake_slurm.calls()[-1] == "scancel 101_0 101_1"


def test_bad_nodes(make_study: Make) -> None:
    study = make_study(repeat={"min": 2})
    one, two, three, four = (study.point(point.id) for point in points(study))
    write_attempt(one / "a1", state="failed", nodes=("n1",), reason="exit code 1")
    assert bad_nodes(study, points(study)) == []
    write_attempt(two / "a1", state="failed", nodes=("n1",), reason="hung")
    write_attempt(three / "a1", state="node failure", nodes=("n2",))
    write_attempt(four / "a1", state="failed", nodes=("n3",), cause=Cause.WRONG_INPUT)
    assert bad_nodes(study, points(study)) == ["n1", "n2"]
    write_attempt(four / "a2", state="done", nodes=("n1",))
    assert bad_nodes(study, points(study)) == ["n2"]


def test_a_requeued_job_settles_how_its_earlier_run_ended(
    make_study: Make, fake_slurm: FakeSlurm
) -> None:
    study = make_study(site="slurm", axes={})
    (point,) = points(study)
    folder = study.point(point.id) / "a1"
    write_attempt(folder, state="running", job_id="5_2", updated=now())
    fake_slurm.says("sacct", "5_1|FAILED|n1|||\n5_2|PREEMPTED|n1|||\n5_2|RUNNING|n1|||\n")
    driver._settle_earlier_runs(study, [point.id], driver.Place("slurm", job_id="5_2"))
    record = read_attempt(folder)
    assert (record.state, record.cause) == ("preempted", Cause.REQUEUED)


def test_the_driver_of_a_job_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'mpi4py', 'pydantic', 'numpy'}"
    code = f"import sys, jobs.slurm.driver; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_changed_code_is_refused_when_the_job_starts(
    make_study: Make, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(site="slurm", axes={})
    Submitter(study, SITE).submit(points(study))
    (entry,) = read_submissions(study)
    monkeypatch.setattr(driver, "source_version", lambda: "another")
    place = driver.Place("slurm", job_id=entry.job_id)
    job = JobFile.read(Path(entry.file))
    assert "submit the study again" in driver._refuse(study, job, place)
    (state,) = Overview(study).states(max_age=0)
    assert state.state == "failed"
    assert "code changed" in state.reason


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize(
    "field", ["partition", "account", "qos", "constraint", "reservation", "memory", "gpu_bind"]
)
def test_no_field_of_a_profile_reaches_a_shell(field: str, value: str) -> None:
    with pytest.raises(InputError, match=field):
        validate(Site, {"scheduler": "slurm", field: value}, "site.toml")


@pytest.mark.parametrize("value", NASTY)
def test_modules_scripts_and_variables_are_quoted(value: str) -> None:
    for table in (
        {"modules": [value]},
        {"scripts": [value]},
        {"scripts": [f"/{value}"]},
        {"environment": {"NAME": value}},
        {"environment": {value: "x"}},
        {"options": {value: "x"}},
        {"options": {"name": value}},
        {"pass_environment": [value]},
        {"launcher_options": [value]},
    ):
        try:
            site = validate(Site, {"scheduler": "slurm", **table}, "site.toml")
        except InputError:
            continue
        words = [shlex.split(line) for line in setup_lines(site)[:-1]]
        for name in site.scripts:
            assert words.pop(0) == [".", name]
        for name in site.modules:
            assert words.pop(0) == ["module", "load", name]
        for name, text in site.environment.items():
            assert words.pop(0) == ["export", f"{name}={text}"]
        assert words == []


def test_values_of_a_study_reach_no_batch_script(
    make_study: Make, fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    study = make_study(
        site="slurm", study={"name": "test", "question": "\n$(touch x)\n`touch y`; 'z' \"w\""}
    )
    Submitter(study, SITE).submit(points(study))
    (script,) = fake_slurm.scripts()
    assert "touch" not in script
    with pytest.raises(InputError, match="no % and no line breaks"):
        Submitter(StudyFolder(tmp_path / "a%j" / "test"), SITE)


@pytest.mark.parametrize("value", [*NASTY, "$(touch y)\n'\"`touch y`; ../up"])
@pytest.mark.parametrize(
    ("section", "field"),
    [
        ("study", "name"), ("study", "question"), ("study", "compare"), ("dataset", "path"),
        ("dataset", "spec"), ("model", "cell"), ("model", "coupling"), ("train", "method"),
        ("train", "optimizer"), ("train", "backend"), ("quality", "metric"), ("axes", "where"),
        ("axes", "grid"), ("axes", "zip"), ("derived", ""),
    ],
)  # fmt: skip
def test_no_value_of_a_study_leaves_the_runs_or_reaches_a_script(
    section: str,
    field: str,
    value: str,
    make_study: Make,
    fake_slurm: FakeSlurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    content: Any = {field: value}
    if field == "where":
        content = {"where": [value]}
    elif field == "grid":
        content = {"grid": {value: [1, 2]}}
    elif field == "zip":
        content = {"zip": {value: {"model.hidden": [4, 8]}}}
    elif section == "derived":
        content = {value: "ranks"}
    elif section == "study":
        content = {"name": "test", **content}
        content |= {"order": "abba"} if field == "compare" else {}
    elif section == "quality":
        content |= {"target": 1.0}
    elif section == "train":
        content |= {"steps": 10, "global_batch": 64}
    before = set(tmp_path.iterdir())
    try:
        study = make_study(site="slurm", **{section: content})
        Submitter(study, SITE).submit(points(study))
        status.command(
            argparse.Namespace(study="test", out=study.runs, watch=False, all=True, json=False)
        )
    except InputError:
        pass
    assert not list(here.iterdir())
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "runs", tmp_path / "data.h5"}
    assert {path.name for path in (tmp_path / "runs").glob("*")} <= {"test", "datasets"}
    assert len(value) < 3 or not any(value in script for script in fake_slurm.scripts())


def test_profiles_are_found_by_name_and_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="did you mean"):
        read_site("slurn")
    (tmp_path / "hpcbench" / "sites").mkdir(parents=True)
    (tmp_path / "hpcbench" / "sites" / "mine.toml").write_text('scheduler = "slurm"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_site("mine").scheduler == "slurm"
    assert read_site(str(tmp_path / "hpcbench" / "sites" / "mine.toml")).scheduler == "slurm"
