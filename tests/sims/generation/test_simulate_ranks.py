"""``hpcbench simulate`` under mpirun: killed, interrupted, and continued by other ranks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import psutil
import pytest

from hpcbench.data.check import check, verify
from hpcbench.data.dataset import open_dataset
from hpcbench.data.format import part_path
from hpcbench.parallel.mpirun import launch_environment

SPEC = """
system = "lorenz96"
seed = 5

[parameters]
num_sites = 40
forcing = 8.0

[integration]
scheme = "rk4"
step = 0.005
spin_up = 1.0
kernel = "reference"  # slow enough to be interrupted

[sampling]
num_trajectories = 24
num_samples = 600
sample_interval = 0.05
dtype = "float32"
split = [0.5, 0.0, 0.5]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a specification of some seconds of work."""
    folder = tmp_path_factory.mktemp("simulate")
    (folder / "spec.toml").write_text(SPEC)
    return folder


Start = Callable[[int, list[str]], "subprocess.Popen[str]"]


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start ``hpcbench simulate`` on some ranks, in a session of its own."""
    from tests.conftest import mpirun_path

    started: list[subprocess.Popen[str]] = []

    def run(num_ranks: int, options: list[str]) -> "subprocess.Popen[str]":
        launch = [mpirun_path(), "-n", str(num_ranks)] if num_ranks else []
        command = [sys.executable, "-P", "-m", "hpcbench.cli", "simulate", "spec.toml", *options]
        process = subprocess.Popen(
            [*launch, *command],
            cwd=place,
            env={**os.environ, **launch_environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> str:
    """Make the dataset on two ranks without disturbance; the SHA-256 of its states."""
    from tests.conftest import mpirun_path

    command = [sys.executable, "-P", "-m", "hpcbench.cli", "simulate", "spec.toml"]
    subprocess.run(
        [mpirun_path(), "-n", "2", *command, "--out", "undisturbed.h5", "--layout", "parts"],
        cwd=place,
        env={**os.environ, **launch_environment()},
        capture_output=True,
        check=True,
        timeout=120,
    )
    with open_dataset(place / "undisturbed.h5") as dataset:
        return dataset.state_sha256()


def wait_for_blocks(process: "subprocess.Popen[str]", path: Path, num_blocks: int) -> None:
    """Wait until a part has some finished blocks, or fail when the process ends before."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        if path.exists():
            with h5py.File(path, locking=False) as file:
                if file["resume/progress"][0] >= num_blocks:
                    return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not get {num_blocks} blocks")


def ranks_of(process: "subprocess.Popen[str]") -> dict[int, psutil.Process]:
    """Return the processes of the ranks by number."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        number = child.environ().get("OMPI_COMM_WORLD_RANK")
        if number is not None and "hpcbench.cli" in child.cmdline():
            found[int(number)] = child
    return found


def same_files(one: Path, other: Path, num_parts: int) -> None:
    for index in range(num_parts):
        expected, found = part_path(one, index).read_bytes(), part_path(other, index).read_bytes()
        assert found == expected


@pytest.mark.parametrize(("killed", "ranks_after"), [(1, 3), (0, 0)])
def test_kill_9_of_one_rank_is_continued_on_other_numbers_of_ranks(
    place: Path, start: Start, undisturbed: str, killed: int, ranks_after: int
) -> None:
    out = place / f"killed{killed}.h5"
    process = start(2, ["--out", out.name, "--layout", "parts"])
    wait_for_blocks(process, part_path(out, 1), 4)
    ranks_of(process)[killed].kill()
    assert process.wait(60) != 0
    with h5py.File(out, locking=False) as file:
        assert not file.attrs["complete"]
    after = start(ranks_after, ["--out", out.name, "--resume"])
    _, error = after.communicate(timeout=120)
    assert after.returncode == 0, error
    assert check(out) == []
    with open_dataset(out) as dataset:
        assert dataset.state_sha256() == undisturbed
        assert verify(dataset) == []
    same_files(place / "undisturbed.h5", out, 2)


def test_ctrl_c_of_mpirun_leaves_a_dataset_to_continue(
    place: Path, start: Start, undisturbed: str
) -> None:
    out = place / "interrupted.h5"
    process = start(2, ["--out", out.name])
    wait_for_blocks(process, part_path(out, 0), 2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in error
    after = start(2, ["--out", out.name, "--resume"])
    assert after.wait(120) == 0
    with open_dataset(out) as dataset:
        assert dataset.state_sha256() == undisturbed


def test_ctrl_c_of_one_rank_ends_all_with_one_message(place: Path, start: Start) -> None:
    out = place / "one.h5"
    process = start(2, ["--out", out.name])
    wait_for_blocks(process, part_path(out, 0), 2)
    ranks_of(process)[1].send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.count("hpcbench: interrupted") == 1
    assert "Traceback" not in error


def test_ctrl_c_alone(place: Path, start: Start) -> None:
    out = place / "alone.h5"
    process = start(0, ["--out", out.name])
    wait_for_blocks(process, out, 2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "hpcbench: interrupted; what was written is kept" in error
    assert "Traceback" not in error


def test_two_jobs_on_one_dataset(place: Path, start: Start) -> None:
    out = place / "shared.h5"
    process = start(2, ["--out", out.name])
    wait_for_blocks(process, part_path(out, 0), 1)
    for rank in ranks_of(process).values():
        rank.suspend()
    second = start(0, ["--out", out.name, "--resume"])
    _, error = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "another process is writing" in error or "is being written by" in error
    for rank in ranks_of(process).values():
        rank.resume()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert check(out) == []


def test_mistakes_are_told_once(place: Path, start: Start) -> None:
    process = start(3, ["--out", "x.h5", "--sampling.num_trajectories", "4"])
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert error.count("too few for 3 ranks") == 1
    assert "Traceback" not in error
    assert not (place / "x.h5").exists()
