"""``hpcbench simulate`` killed at random moments, and on a disk that fills up on the way."""

import multiprocessing
import shutil
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcbench.cli import main
from hpcbench.data.check import check, verify
from hpcbench.data.dataset import open_dataset

SPEC = """
system = "lorenz96"
seed = 3

[parameters]
num_sites = 40
forcing = 8.0

[integration]
scheme = "rk4"
step = 0.01
spin_up = 2.0

[sampling]
num_trajectories = 40
num_samples = 6400
sample_interval = 0.02
dtype = "float32"
split = [0.5, 0.2, 0.3]
"""

NUM_SEEDS = 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a specification of some tenths of a second of work."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "spec.toml").write_text(SPEC)
    return folder


class Runner:
    """Runs simulations in processes of their own, forked from one that has imported everything."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["hpcbench.cli", "sims.generation.simulate"])

    def run(self, name: str, *options: str, kill_after: float | None = None) -> tuple[int, float]:
        """Return the exit code of the process and its seconds."""
        words = ["simulate", str(self.place / "spec.toml"), "--out", str(self.place / name)]
        process = self.context.Process(target=main, args=([*words, *options],))
        begin = time.perf_counter()
        process.start()
        process.join(kill_after)
        if kill_after is not None:
            process.kill()
        process.join(60)
        assert process.exitcode is not None
        return process.exitcode, time.perf_counter() - begin


@pytest.mark.parametrize("layout", ["file", "parts"])
def test_kill_9_at_any_moment_is_continued_to_the_same_bytes(place: Path, layout: str) -> None:
    runner = Runner(place)
    runner.run("warm.h5")
    _, seconds = runner.run(f"{layout}.h5", "--layout", layout)
    expected = {path.name: path.read_bytes() for path in place.glob(f"{layout}.h5.parts/*")}
    expected[layout] = (place / f"{layout}.h5").read_bytes() if layout == "file" else b""
    progress = []
    for seed in range(NUM_SEEDS // 2):
        name = f"{layout}{seed}.h5"
        moment = np.random.default_rng(seed).uniform(0, seconds)
        code, _ = runner.run(name, "--layout", layout, kill_after=moment)
        assert code in (0, -9)
        inner = place / name if layout == "file" else place / f"{name}.parts" / "00000.h5"
        if code == -9 and inner.exists():
            with h5py.File(inner, locking=False) as file:
                progress.append(int(file["resume/progress"][0]))
        runner.run(name, "--layout", layout, "--resume")
        found = {path.name: path.read_bytes() for path in place.glob(f"{name}.parts/*")}
        found[layout] = (place / name).read_bytes() if layout == "file" else b""
        assert found == expected
        assert check(place / name) == []
        with open_dataset(place / name) as dataset:
            assert verify(dataset) == []
        (place / name).unlink()
        shutil.rmtree(place / f"{name}.parts", ignore_errors=True)
    assert any(progress), "no kill fell between the first block and the end"


@pytest.mark.parametrize("small_disk", ["20m"], indirect=True)
def test_a_disk_that_fills_up_on_the_way(
    place: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["simulate", str(place / "spec.toml"), "--out"]
    assert main([*arguments, str(place / "whole.h5")]) == 0
    out = small_disk / "full.h5"
    with monkeypatch.context() as context:
        # the space is there when the work begins; then others take it
        context.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 10**9))
        capsys.readouterr()
        assert main([*arguments, str(out)]) == 3
    error = capsys.readouterr().err
    assert "full.h5: not finished, what was written is kept" in error
    assert "--resume" in error
    assert "No space left on device" in error
    assert "Traceback" not in error
    remount = ["mount", "-o", "remount,size=100m", str(small_disk)]
    subprocess.run(remount, check=True)
    with h5py.File(out, locking=False) as file:
        assert 0 < file["resume/progress"][0] < 32
    assert main([*arguments, str(out), "--resume"]) == 0
    assert out.read_bytes() == (place / "whole.h5").read_bytes()
