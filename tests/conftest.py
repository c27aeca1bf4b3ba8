"""Shared fixtures: strict NumPy, the command line and mpirun as subprocesses, tests on ranks."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from hpcbench.bootstrap import launch_environment


class RunRanks(Protocol):
    def __call__(
        self,
        num_ranks: int,
        argv: Sequence[str | Path],
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


class RunCli(Protocol):
    def __call__(
        self,
        args: Sequence[str | Path],
        ranks: int | None = None,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(autouse=True)
def floating_point_errors_raise() -> Iterator[None]:
    """Overflow, division by zero and invalid operations raise; underflow to zero is harmless."""
    with np.errstate(over="raise", divide="raise", invalid="raise", under="ignore"):
        yield


def mpirun_path() -> str:
    """The environment's own mpirun, or the site's where the environment has none."""
    own = Path(sys.executable).parent / "mpirun"
    found = str(own) if own.exists() else shutil.which("mpirun") or shutil.which("mpiexec")
    assert found, "no mpirun: run make setup"
    return found


def _run(
    argv: Sequence[str | Path],
    timeout: float,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **launch_environment(), **(env or {})},
        cwd=cwd,
        check=check,
    )


@pytest.fixture
def mpirun() -> RunRanks:
    """Run ``argv`` on ``num_ranks`` ranks; ``env`` is added to this process's environment."""

    def run(
        num_ranks: int,
        argv: Sequence[str | Path],
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return _run([mpirun_path(), "-n", str(num_ranks), *argv], timeout, env, cwd, check)

    return run


@pytest.fixture
def run_cli() -> RunCli:
    """Run ``hpcbench ARGS`` as the user would, alone or under mpirun."""

    def run(
        args: Sequence[str | Path],
        ranks: int | None = None,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        launch = [] if ranks is None else [mpirun_path(), "-n", str(ranks)]
        argv = [*launch, sys.executable, "-P", "-m", "hpcbench.cli", *args]
        return _run(argv, timeout, env, cwd)

    return run


@pytest.fixture
def shared_tmp_path(tmp_path: Path) -> Path:
    """One temporary folder for all ranks of an MPI test: that of rank 0."""
    from mpi4py import MPI

    return MPI.COMM_WORLD.bcast(tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """End the whole MPI job when a test fails on one rank.

    The others may be waiting for it in a collective call, and would wait forever.
    """
    report = yield
    if report.failed and item.get_closest_marker("mpi"):
        from mpi4py import MPI

        if MPI.COMM_WORLD.Get_size() > 1:
            capture = item.config.pluginmanager.get_plugin("capturemanager")
            assert capture is not None
            with capture.global_and_fixture_disabled():
                rank = MPI.COMM_WORLD.Get_rank()
                print(f"rank {rank}: {item.nodeid} failed\n{report.longreprtext}", file=sys.stderr)
                sys.stderr.flush()
                MPI.COMM_WORLD.Abort(1)
    return report


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk that is too small, by being root: ``indirect`` says how large it is."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED: only root may mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
