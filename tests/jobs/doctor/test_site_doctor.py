"""``hpcbench doctor --site``: a profile that fits passes, and every misfit says what to do."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from hpcbench.errors import EnvironmentLacks
from hpcbench.run.source_version import source_version
from jobs.commands import doctor
from jobs.doctor import site_check, site_doctor, trial
from jobs.doctor.finding import Finding
from jobs.site.placement import Placement
from jobs.site.profile import Site

from ..conftest import FakeSlurm

SCONTROL = """Slurmctld(primary) at login is UP
MaxArraySize            = 1001
PartitionName=batch Default=YES State=UP MaxTime=2-00:00:00 MaxNodes=4 TotalNodes=2
PartitionName=old Default=NO State=DOWN MaxTime=UNLIMITED
"""
SINFO = "n1|64|gpu:a100:4(S:0-1)|intel,ib|idle\nn2|64|gpu:a100:4|intel,ib|mixed\n"
MPI_TYPES = (
    "MPI plugin types are...\n\tpmix\n\tnone\nspecific pmix plugin versions available: pmix_v4\n"
)


@pytest.fixture
def slurm(fake_slurm: FakeSlurm) -> FakeSlurm:
    fake_slurm.says("scontrol", SCONTROL)
    fake_slurm.says("sinfo", SINFO)
    fake_slurm.says("srun", MPI_TYPES)
    fake_slurm.says("sacctmgr", "physics||10|100\nnormal||\n")
    return fake_slurm


def examine(**fields: Any) -> dict[str, Finding]:
    table = {"scheduler": "slurm", "launcher": "srun", "launcher_options": ["--mpi=pmix"], **fields}
    return {finding.name: finding for finding in site_check.check_site(Site(**table))}


def test_a_profile_that_fits_passes(slurm: FakeSlurm) -> None:
    findings = examine(
        partition="batch",
        account="physics",
        qos="normal",
        constraint="intel&ib",
        cores_per_node=64,
        gpus_per_node=4,
        max_array_size=1001,
    )
    assert {name: f.status for name, f in findings.items() if f.status != "pass"} == {}
    assert "MaxTime=2-00:00:00" in str(findings["partition"].value)
    assert findings["account"].value == "physics MaxJobs=10 MaxSubmit=100"
    assert findings["gpus_per_node"].value == 4


@pytest.mark.parametrize(
    ("fields", "name", "hint"),
    [
        ({"partition": "bach"}, "partition", "valid: batch, old"),
        ({"account": "chemistry"}, "account", "yours are"),
        ({"qos": "urgent"}, "qos", "valid: physics"),
        ({"constraint": "amd"}, "constraint", "no node has amd; valid: ib, intel"),
        ({"cores_per_node": 128}, "cores", "at most 64"),
        ({"gpus_per_node": 8}, "gpus_per_node", "choose a GPU partition"),
        ({"max_array_size": 5000}, "array_size", "refuses above 1001"),
        ({"launcher_options": ["--mpi=pmi1"]}, "launcher", "srun offers pmix"),
    ],
)
def test_what_does_not_fit_is_named(
    fields: dict[str, Any], name: str, hint: str, slurm: FakeSlurm
) -> None:
    found = examine(**fields)[name]
    assert found.status == "fail"
    assert hint in found.hint


def test_what_may_go_wrong_is_a_warning(slurm: FakeSlurm) -> None:
    slurm.says("sinfo", SINFO.replace("idle", "drained*"))
    findings = examine(partition="old", pass_environment=["HPCBENCH_NOT_SET"])
    warned = {name for name, finding in findings.items() if finding.status == "warn"}
    assert warned == {"partition", "nodes", "pass_environment"}
    assert all(findings[name].hint for name in warned)
    slurm.says("sinfo", "")
    assert examine()["nodes"].status == "fail"
    slurm.says("scontrol", "Slurmctld(primary) at login is DOWN")
    assert set(examine()) == {"slurm", "slurm_controller"}


def test_without_slurm_the_login_node_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert examine()["slurm"].status == "fail"


def run_doctor(site: str, tmp_path: Path, *, no_job: bool = False, wait: float = 1.0) -> int:
    out = tmp_path / "runs"
    words = argparse.Namespace(
        json=True, overrides=[], site=site, no_job=no_job, wait=wait, out=out
    )
    return doctor.command(words)


def profile(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(f'scheduler = "slurm"\nlauncher = "mpirun"\n{text}')
    return str(path)


def statuses(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    results = json.loads(capsys.readouterr().out)["results"]
    return {result["name"]: result["status"] for result in results}


@pytest.mark.parametrize("scheduler", ["slurm", "local"])
def test_a_tiny_job_starts_real_ranks(
    scheduler: str,
    slurm: FakeSlurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (slurm.folder / "run-jobs").touch()
    monkeypatch.setattr(site_doctor, "TRIAL_NODES", 1)
    monkeypatch.setattr(site_doctor, "POLL_SECONDS", 0.1)
    site = "local"
    if scheduler == "slurm":
        site = profile(tmp_path, "ranks_per_node = 2\n[environment]\nOMP_PROC_BIND = 'close'\n")
    assert run_doctor(site, tmp_path) == 0, (slurm.folder / "job-101.log").read_text()
    found = statuses(capsys)
    assert set(found.values()) == {"pass"}
    wanted = {"ranks", "allreduce_mpi", "allreduce_horovod", "shared_files", "code_version"}
    assert wanted <= set(found)
    assert not list((tmp_path / "runs").iterdir())


def test_a_job_that_waits_too_long_is_taken_back(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.says("squeue", "101|PENDING|Priority|\n")
    assert run_doctor(profile(tmp_path, ""), tmp_path, wait=0) == 0
    assert statuses(capsys)["trial_job"] == "warn"
    assert slurm.calls()[-1] == "scancel 101"


def test_a_job_that_says_nothing_fails(
    slurm: FakeSlurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    slurm.says("sacct", "101|FAILED|n1|||\n")
    assert run_doctor(profile(tmp_path, ""), tmp_path) == EnvironmentLacks.exit_code
    captured = capsys.readouterr()
    assert "do the nodes see this path" in captured.err
    (slurm.folder / "refuse-after").write_text("0")
    assert run_doctor(profile(tmp_path, ""), tmp_path) == EnvironmentLacks.exit_code
    assert "QOSMaxSubmitJobPerUserLimit" in capsys.readouterr().err


def test_without_a_job_nothing_is_submitted(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_doctor(profile(tmp_path, ""), tmp_path, no_job=True) == 0
    assert statuses(capsys)["trial_job"] == "warn"
    assert slurm.scripts() == []


PLACEMENT = Placement(
    ranks=2,
    nodes=1,
    ranks_per_node=2,
    cores_per_rank=1,
    gpus_per_rank=1,
    gpus_per_node=2,
    minutes=6,
)
RANK = {
    "host": "n1", "mpi": 2, "horovod": 1.0, "token": "t", "gpus": 1, "time": 100.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ({}, None, ""),
        ({"host": "n2"}, "ranks", "fail"),
        ({"mpi": 1}, "allreduce_mpi", "fail"),
        ({"horovod": 0.0}, "allreduce_horovod", "fail"),
        ({"token": None}, "shared_files", "fail"),
        ({"gpus": 0}, "gpus", "fail"),
        ({"time": 107.0}, "clocks_of_nodes", "warn"),
        ({"code": "another"}, "code_version", "fail"),
    ],
)
def test_what_ranks_see_is_judged(
    change: dict[str, Any], name: str | None, status: str, tmp_path: Path
) -> None:
    here = {"code": source_version()}
    (tmp_path / "ranks.json").write_text(json.dumps([RANK | here, RANK | here | change]))
    answer = trial.DriverAnswer(10.0, 20.0, "n1", source_version(), variables={}, given=("A",))
    answer.write(tmp_path / trial.DRIVER_FILE)
    site = {"environment": {}, "launcher": "mpirun"}
    job = trial.TrialJob(site, PLACEMENT, "t", submitted=9.0)
    found = {f.name: f for f in trial.judge_trial(tmp_path, job) if f.status != "pass"}
    assert {key: finding.status for key, finding in found.items()} == (
        {name: status} if name else {}
    )
    assert all(finding.hint for finding in found.values())


def test_ranks_that_do_not_start_are_a_finding(tmp_path: Path) -> None:
    answer = trial.DriverAnswer(
        0.0, 1.0, "n1", source_version(), variables={"A": None}, given=(), problem="no slots"
    )
    answer.write(tmp_path / trial.DRIVER_FILE)
    site = {"environment": {"A": "1"}, "launcher": "mpirun"}
    job = trial.TrialJob(site, PLACEMENT, "t", submitted=9.0)
    found = {f.name: f.status for f in trial.judge_trial(tmp_path, job)}
    assert found["ranks"] == "fail"
    assert found["job_environment"] == "warn"
    assert found["clocks_of_login_node_and_job"] == "warn"
