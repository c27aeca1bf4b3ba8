"""Records of a study: written by one command, read by the next, also those of the first release."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbench.errors import InputError
from jobs.launch import launch
from jobs.launch.command import ranks_command, train_argv
from jobs.records.dataset_mark import DatasetMark, mark_file, read_mark
from jobs.records.job_file import JobFile
from jobs.records.study import PlannedResources
from jobs.records.study_folder import StudyFolder
from jobs.records.submissions import Submission, read_submissions, record_submissions
from jobs.site.placement import Placement
from jobs.site.profile import Site
from jobs.slurm import driver
from jobs.study.file import Resources

Make = Callable[..., StudyFolder]

PLACEMENT = Placement(
    ranks=3,
    nodes=2,
    ranks_per_node=2,
    cores_per_rank=4,
    gpus_per_rank=0,
    gpus_per_node=0,
    minutes=9,
)


def test_planned_resources_are_those_of_the_study_file() -> None:
    planned = {field.name: field.default for field in dataclasses.fields(PlannedResources)}
    assert planned == Resources().model_dump()


def test_a_study_of_the_first_release_opens(make_study: Make) -> None:
    study = make_study(resources={"retries": 1})
    content = json.loads(study.plan_file.read_text())
    del content["resources"]["hang_minutes"]  # came later
    study.plan_file.write_text(json.dumps(content | {"later": True}))
    record = study.record()
    assert record.resources == PlannedResources(retries=1)
    assert [point.ranks for point in record.points] == [1, 1]
    assert [dataset.path for dataset in record.datasets.values()] != [""]


def test_another_version_of_a_study_is_refused(make_study: Make) -> None:
    study = make_study()
    content = json.loads(study.plan_file.read_text())
    study.plan_file.write_text(json.dumps(content | {"schema": 2}))
    with pytest.raises(InputError, match="schema 2; this release reads 1"):
        study.record()


def test_submissions_are_read_back_without_a_line_cut_off(make_study: Make) -> None:
    study = make_study()
    entries = [Submission("7_0", ("p",), "2026-11-01", "f", nodes=2), Submission("8", (), "x", "g")]
    record_submissions(study, entries)
    path = study.jobs / "submissions.jsonl"
    old = {"job_id": "9", "points": ["q"], "submitted": "y", "file": "h", "nodes": 1}
    path.write_text(path.read_text() + json.dumps(old) + '\n[3]\n{"job_id": "10", "poi')
    assert read_submissions(study) == [*entries, Submission("9", ("q",), "y", "h", nodes=1)]


def test_what_is_known_of_a_dataset(make_study: Make) -> None:
    study = make_study()
    assert read_mark(study, "k") == DatasetMark("k")
    mark_file(study, "k").write_text('{"key": "k", "state": "submitted", "job_id": "101"}')
    assert read_mark(study, "k") == DatasetMark("k", "submitted", "101")
    mark_file(study, "k").write_text("[]")
    assert read_mark(study, "k") == DatasetMark("k")


def test_a_job_file(tmp_path: Path) -> None:
    job = JobFile(
        study="/runs/s", code="c", site={"launcher": "srun"}, placement=PLACEMENT,
        submitted="now", points=("p", "q"), dataset="k",
    )  # fmt: skip
    job.write(tmp_path / "job.json")
    assert JobFile.read(tmp_path / "job.json") == job


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_a_job_runs_the_words_that_the_plan_prints(
    launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(scheduler="slurm", launcher=launcher, launcher_options=["--mpi=pmix"])
    argv = train_argv(Path("config.toml"), Path("data.h5"), Path("a1"), resume=True)
    assert argv[3:] == [
        "hpcbench.cli", "train", "config.toml", "--data", "data.h5", "--out", "a1", "--resume"
    ]  # fmt: skip
    started = []

    class Started(Exception):
        pass

    def child(command: list[str], *_: object) -> None:
        started.append(command)
        raise Started

    monkeypatch.setattr(launch, "Child", child)
    with pytest.raises(Started):
        driver.start_ranks(3, argv, site=site, placement=PLACEMENT)
    assert started == [ranks_command(site, PLACEMENT, 3, argv)]
    if launcher == "srun":
        assert started[0][:7] == [
            "srun", "--ntasks=3", "--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=4",
            "--kill-on-bad-exit=1", "--export=ALL",
        ]  # fmt: skip
