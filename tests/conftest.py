"""Shared fixtures: strict NumPy, the command line and mpirun, tests on ranks, a small dataset."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from hpcbench.parallel.mpirun import find_launcher, launch_environment

SPEC = """
system = "lorenz96"
seed = 1
[parameters]
num_sites = 12
forcing = 8.0
[integration]
scheme = "rk4"
step = 0.01
spin_up = 2.0
[sampling]
num_trajectories = 16
num_samples = 200
sample_interval = 0.01
dtype = "float32"
split = [0.5, 0.25, 0.25]
"""

TRAIN = """
seed = 3
[dataset]
path = "{data}"
[model]
hidden = 8
halo = 2
[train]
window = 4
carry = 8
global_batch = 6
steps = 50
learning_rate = 1e-2
backend = "{backend}"
dtype = "{dtype}"
validate_every = 20
checkpoint_every = 15
[forecast]
initial_conditions = 8
warm_up = 10
horizon = 1.0
lyapunov_exponent = 1.5
"""


# The same examples in every run, and no clock: a busy machine is no failure.
settings.register_profile(
    "quick", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")


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
    found = find_launcher()
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


@pytest.fixture(scope="session")
def lorenz96_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete dataset of 16 trajectories, 12 sites; 8 train, 4 validate, 4 test.

    Ranks of an MPI test share the one that rank 0 names.
    """
    from mpi4py import MPI

    from hpcbench.cli import main

    folder = MPI.COMM_WORLD.bcast(tmp_path_factory.mktemp("dataset"))
    (folder / "spec.toml").write_text(SPEC)
    MPI.COMM_WORLD.Barrier()
    data = folder / "lorenz96.h5"
    assert main(["simulate", str(folder / "spec.toml"), "--out", str(data)]) == 0
    return data


@pytest.fixture
def train_spec(tmp_path: Path, lorenz96_file: Path) -> Callable[..., Path]:
    """Return a function that writes a training spec for this dataset."""

    def write(backend: str = "none", dtype: str = "float32", data: Path = lorenz96_file) -> Path:
        path = tmp_path / "train.toml"
        path.write_text(TRAIN.format(data=data, backend=backend, dtype=dtype))
        return path

    return write


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiny matrices: sharing them among threads costs more than the work."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # training shares the cores out otherwise
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
