"""The set-up script, the environment it makes, and the rules that keep the packages apart."""

import importlib.metadata
import importlib.util
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hpcbench.setup import environment, horovod, mpi

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("hpcbench", "sims", "jobs", "analysis")
LAUNCHING = (
    "hpcbench/__init__.py",
    "hpcbench/errors.py",
    "hpcbench/parallel/__init__.py",
    "hpcbench/parallel/mpirun.py",
)
"""What set-up imports from other rooms; it decides nothing about the environment."""


def call(
    argv: list[str | Path], cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def script(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the files that set-up needs, and no environment."""
    for name in (*environment.INPUTS, *LAUNCHING):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(checkout: Path, **env: str) -> subprocess.CompletedProcess[str]:
    argv: list[str | Path] = [sys.executable, "-I", "hpcbench/setup"]
    return call(argv, checkout, env)


# ------------------------------------------------------------------------------ the environment
def test_every_dependency_is_needed() -> None:
    """What a user installs, some source imports."""
    text = "\n".join(
        path.read_text()
        for package in ("hpcbench", "sims", "jobs", "analysis")
        for path in (ROOT / package).rglob("*.py")
    )
    requirements = map(Requirement, importlib.metadata.requires("hpcbench-suite") or [])
    wanted = {canonicalize_name(r.name) for r in requirements if r.marker is None}
    modules: dict[str, list[str]] = {}
    for module, owners in importlib.metadata.packages_distributions().items():
        for owner in owners:
            modules.setdefault(canonicalize_name(owner), []).append(module)
    assert wanted
    for name in wanted:
        words = "|".join(re.escape(module) for module in modules[name])
        assert re.search(rf"\b(import|from)\b.*\b({words})\b", text), name


def test_every_dependency_imports(tmp_path: Path) -> None:
    requirements = map(Requirement, importlib.metadata.requires("hpcbench-suite") or [])
    wanted = {
        canonicalize_name(requirement.name)
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": "dev"})
    }
    modules = [
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if module.isidentifier()
        and not module.startswith("_")
        and wanted & {canonicalize_name(owner) for owner in owners}
    ]
    assert {"torch", "numpy", "mpi4py", "pytest", "pynvml", "submitit"} < set(modules)
    modules.append("horovod.torch")
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)"
    result = call([sys.executable, "-P", "-c", code], tmp_path)
    assert result.returncode == 0, result.stderr


def test_installed_versions_fit_together(tmp_path: Path) -> None:
    result = call([sys.executable, "-m", "pip", "check"], tmp_path)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_our_names(name: str, tmp_path: Path) -> None:
    owners = importlib.metadata.packages_distributions().get(name, [])
    assert set(owners) == {"hpcbench-suite"}
    code = f"import {name}; print({name}.__file__)"
    result = call([sys.executable, "-P", "-c", code], tmp_path)
    assert Path(result.stdout.strip()) == ROOT / name / "__init__.py", result.stderr


def test_constraints_pin_every_installed_distribution() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    ours = {"hpcbench-suite", "horovod", "pip"}
    platform_own = ("nvidia-", "cuda-", "triton")  # come with the CUDA build of torch
    for distribution in importlib.metadata.distributions():
        name = distribution.name
        if name not in ours and not name.startswith(platform_own):
            assert pinned[name] == distribution.version.partition("+")[0], name


# -------------------------------------------------------------------------------- the contracts
# ----------------------------------------------------------------------------------- the set-up
def test_set_up_without_a_compiler(checkout: Path) -> None:
    result = set_up(checkout, PATH="/nonexistent", CXX="")
    assert result.returncode == 4
    assert "no C++ compiler found" in result.stderr
    assert "Traceback" not in result.stderr


def test_set_up_without_a_network_shows_the_step_and_continues_later(checkout: Path) -> None:
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    offline |= {"XDG_CACHE_HOME": str(checkout / "cache"), "HPCBENCH_MPI": "wheel"}
    for reason in ("new", "interrupted last time"):
        result = set_up(checkout, **offline)
        assert result.returncode == 4
        assert f"setting up .venv ({reason})" in result.stderr
        assert "step failed: install build tools" in result.stderr
        assert "ERROR: " in result.stderr
        assert "HTTPS_PROXY" in result.stderr
        assert not (checkout / ".venv" / ".ready").exists()
    log = result.stderr.partition("the whole log is ")[2].splitlines()[0]
    assert Path(log).is_file()


@pytest.mark.parametrize(
    ("env", "code", "message"),
    [
        ({"HPCBENCH_MPI": "mpich"}, 2, 'HPCBENCH_MPI="mpich" is neither "site" nor "wheel"'),
        ({"HPCBENCH_MPI": "site", "PATH": "/nonexistent"}, 4, "found without mpicc"),
    ],
)
def test_choice_of_mpi_is_checked(
    env: dict[str, str], code: int, message: str, checkout: Path
) -> None:
    result = set_up(checkout, **env)
    assert (result.returncode, message in result.stderr) == (code, True), result.stderr


def test_an_old_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "hpcbench" / "setup"), run_name="__main__")
    assert caught.value.code == 4
    assert "3.11 or newer is needed" in capsys.readouterr().err


def test_the_site_mpi_comes_first_and_an_activated_environment_is_no_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HPCBENCH_MPI", raising=False)
    site, active = tmp_path / "site", tmp_path / "environment"
    for folder in (site / "bin", active / "bin"):
        script(folder / "mpicc")
        script(folder / "mpirun", "#!/bin/sh\necho 'mpirun (Open MPI) 4.1.6'\n")
    (active / "pyvenv.cfg").touch()
    monkeypatch.setenv("PATH", str(active / "bin"))
    assert mpi.find_mpi()["kind"] == "wheel"
    monkeypatch.setenv("PATH", f"{active / 'bin'}:{site / 'bin'}")
    found = mpi.find_mpi()
    assert found["kind"] == "site"
    assert found["launcher"] == str(site / "bin" / "mpirun")
    assert found["identity"] == f"mpirun (Open MPI) 4.1.6 at {site / 'bin' / 'mpicc'}"


def test_what_makes_an_environment_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: dict[str, Any] = {"inputs": "1", "python": "3.11", "mpi": "a", "gpu": False}
    monkeypatch.setattr(environment, "VENV", tmp_path)
    monkeypatch.setattr(environment, "STAMP", tmp_path / ".ready")
    monkeypatch.setattr(environment, "interpreter_works", lambda: True)
    assert environment.staleness(wanted) == "interrupted last time"
    (tmp_path / ".ready").write_text("{")
    assert environment.staleness(wanted) == "its stamp is damaged"
    (tmp_path / ".ready").write_text(json.dumps(wanted))
    assert environment.staleness(wanted) == ""
    assert environment.staleness({**wanted, "inputs": "2"}) == "inputs changed"
    assert environment.staleness({**wanted, "mpi": "b"}) == "mpi: now b"
    assert environment.staleness({**wanted, "gpu": True}) == "gpu: now True"
    (tmp_path / ".ready").write_text(json.dumps({**wanted, "gpu": True}))
    assert environment.staleness(wanted) == "", "a login node keeps what a GPU node built"


def test_compiler_wrapper_raises_the_language_standard(tmp_path: Path) -> None:
    text = horovod.COMPILER_WRAPPER.format(compiler="/bin/echo", run_path=horovod.RUN_PATH)
    wrapper = script(tmp_path / "c++", text)
    result = call([wrapper, "-std=c++14", "-DNAME=two words", "-std=gnu++11", "a.cc"], tmp_path)
    assert result.stdout == (
        "-std=gnu++17 -DNAME=two words -std=gnu++17 a.cc -Wl,-rpath,$ORIGIN/../../../..\n"
    )


def test_cuda_build_takes_the_folder_and_the_architectures_of_this_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = script(tmp_path / "nvcc", "#!/bin/sh\necho '#$ _HERE_=/opt/cuda-13.0/bin' >&2\n")
    script(tmp_path / "nvidia-smi", "#!/bin/sh\nprintf '9.0\\n8.0\\n9.0\\n'\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("HOROVOD_BUILD_CUDA_CC_LIST", raising=False)
    assert horovod.cuda_home(str(nvcc)) == "/opt/cuda-13.0"
    assert horovod.architectures() == {"HOROVOD_BUILD_CUDA_CC_LIST": "80,90"}
    monkeypatch.setenv("HOROVOD_BUILD_CUDA_CC_LIST", "75")
    assert horovod.architectures() == {"HOROVOD_BUILD_CUDA_CC_LIST": "75"}


def test_the_environment_in_use_is_up_to_date() -> None:
    """Set-up with nothing to do takes well under the seconds that any step would."""
    result = call([sys.executable, "-I", ROOT / "hpcbench" / "setup"], ROOT)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["now"]])
def test_unknown_arguments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        environment.main(arguments)
    assert caught.value.code == 2
    assert "unknown arguments" in capsys.readouterr().err
