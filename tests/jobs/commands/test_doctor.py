"""``hpcbench doctor`` says what is there, and what is missing with the way to get it."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbench.errors import InputError
from jobs.commands import doctor
from jobs.doctor import hardware, software
from jobs.doctor.finding import Finding, ask_python, run_child

Probe = Callable[[], list[Finding]]


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def arguments(as_json: bool = False, overrides: tuple[str, ...] = ()) -> argparse.Namespace:
    return argparse.Namespace(json=as_json, overrides=list(overrides), site=None)


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_test_environment_is_complete(run_cli: Any) -> None:
    result = run_cli(["doctor", "--json"])
    assert result.returncode == 0, result.stderr
    results = {entry["name"]: entry for entry in json.loads(result.stdout)["results"]}
    assert all({"name", "value", "unit", "status", "hint"} <= set(r) for r in results.values())
    assert results["mpi_job"]["value"] == 2
    assert "MPI" in results["horovod_operations"]["value"]
    assert results["python"]["value"].startswith("3.")
    assert results["memory"]["value"] > 0
    wanted = ["mpi_library", "mpi_launcher", "torch", "h5py", "hdf5_collective", "gpus", "slurm"]
    assert set(wanted) < set(results)


def test_table_is_on_standard_output(run_cli: Any) -> None:
    result = run_cli(["doctor"])
    assert result.returncode == 0
    assert "horovod_operations" in result.stdout
    assert result.stderr == ""


def test_with_nothing_installed_every_missing_piece_has_a_hint(
    run_cli: Any, tmp_path: Path
) -> None:
    for name in ("torch", "horovod", "h5py", "mpi4py", "pynvml"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name} in this test')\n")
    result = run_cli(["doctor", "--json"], env={"PATH": "", "PYTHONPATH": str(tmp_path)})
    assert result.returncode == 4
    assert "Traceback" not in result.stderr
    missing = [r for r in json.loads(result.stdout)["results"] if r["status"] == "missing"]
    names = {entry["name"] for entry in missing}
    assert {"torch", "horovod", "h5py", "mpi_library"} <= names
    assert all(entry["hint"] for entry in missing)
    assert all(f"{name} is missing" in result.stderr for name in names)


def test_a_library_that_aborts_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "h5py.py").write_text("import os; os.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = software.data()
    assert finding.status == "missing"
    assert "-6" in str(finding.value)


def test_exit_code_follows_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def optional() -> list[Finding]:
        return [Finding("slurm", None, "", "optional", "log in to a cluster")]

    def required() -> list[Finding]:
        return [Finding("torch", None, "", "missing", "make setup")]

    monkeypatch.setattr(doctor, "PROBES", (optional,))
    assert doctor.command(arguments()) == 0
    monkeypatch.setattr(doctor, "PROBES", (optional, required))
    assert doctor.command(arguments()) == 4


def test_without_rich_the_findings_are_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "PROBES", (lambda: [Finding("memory", 3.5, "GiB")],))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert doctor.command(arguments()) == 0
    assert capsys.readouterr().out == "memory  3.5 GiB\n"


def test_overrides_are_refused() -> None:
    with pytest.raises(InputError, match=r"--train\.window: it has no configuration"):
        doctor.command(arguments(overrides=("--train.window", "3")))


def test_packages_names_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without_torch(name: str) -> str:
        if name in ("torch", "submitit"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_torch)
    (finding,) = software.packages()
    assert (finding.value, finding.status) == ("without submitit, torch", "missing")


def test_packages_when_hpcbench_itself_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    (finding,) = software.packages()
    assert finding.status == "missing"


@pytest.mark.parametrize(
    ("launcher", "reason"),
    [
        ("#!/bin/sh\necho 'no slots left' >&2\nexit 1\n", "no slots left"),
        ("#!/bin/sh\necho 1\necho 1\n", "separate jobs"),
        ("#!/no/such/interpreter\n", "No such file"),
    ],
)
def test_a_launcher_that_does_not_work(
    launcher: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(tmp_path, "mpirun", launcher)
    monkeypatch.setattr(software, "find_launcher", lambda: str(path))
    finding = by_name(software.mpi())["mpi_job"]
    assert finding.status == "missing"
    assert reason in str(finding.value)


def test_without_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    finding = by_name(software.mpi())["mpi_launcher"]
    assert finding.status == "missing"
    assert "HPCBENCH_MPI=wheel" in finding.hint
    assert software.compilers()[0].status == "optional"


def test_slurm_lists_the_commands_that_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    script(tmp_path, "sbatch", f"#!{sys.executable}\nprint('slurm-wlm 22.05.8')\n")
    assert software.slurm()[0].value == "without srun squeue sacct scancel"
    for name in ("srun", "squeue", "sacct", "scancel"):
        script(tmp_path, name, "")
    assert software.slurm() == [Finding("slurm", "slurm-wlm 22.05.8")]
    complaint = "raise SystemExit('sbatch: fatal: no configuration')"
    script(tmp_path, "sbatch", f"#!{sys.executable}\n{complaint}\n")
    (found,) = software.slurm()
    assert (found.value, found.status) == ("sbatch: fatal: no configuration", "optional")


def test_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert hardware.disk()[0] == Finding("working_folder", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert hardware.disk()[0].status == "missing"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert hardware.disk()[0].value == "it was deleted"


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "LEAST_FREE_BYTES", 2**70)
    assert by_name(hardware.disk())["free_disk"].status == "missing"


def test_allocator_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in hardware.ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    (finding,) = hardware.allocator()
    assert finding.status == "optional"
    for setting in finding.hint.rpartition("export ")[2].split():
        name, _, value = setting.partition("=")
        monkeypatch.setenv(name, value)
    assert hardware.allocator()[0].status == "ok"


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("nonsense", None)],
)
def test_cpu_quota(text: str, cores: float | None) -> None:
    assert hardware.cpu_quota(text) == cores


def test_processor_of_x86_and_arm() -> None:
    x86 = "model name\t: AMD EPYC 9654\nflags\t\t: fpu avx2 fma avx512f\nmodel name\t: other\n"
    assert hardware.processor_of(x86) == ("AMD EPYC 9654", ["fma", "avx2", "avx512f"])
    assert hardware.processor_of("Features\t: fp asimd sve\n")[1] == ["asimd", "sve"]


def test_child_processes_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_child(["/no/such/program"])[0] == 127
    assert ask_python("print('not JSON')") == (None, "unexpected output: not JSON")
    assert ask_python("raise SystemExit('why')") == (None, "why")
    monkeypatch.setattr("jobs.doctor.finding.CHILD_SECONDS", 0.2)
    assert run_child([sys.executable, "-c", "import time; time.sleep(9)"])[0] == 124
