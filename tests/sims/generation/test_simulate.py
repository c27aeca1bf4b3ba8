"""``hpcbench simulate`` by one process: what it writes, refuses, survives and continues."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcbench.cli import main
from hpcbench.data.check import check, verify
from hpcbench.data.dataset import open_dataset
from hpcbench.data.store import Store
from hpcbench.data.writer import writer_lock
from sims.generation import advance, layout

SPEC = """
system = "lorenz96"
seed = 3

[parameters]
num_sites = 8
forcing = 8.0

[integration]
scheme = "rk4"
step = 0.01
spin_up = 0.5

[sampling]
num_trajectories = 6
num_samples = 800
sample_interval = 0.02
dtype = "float32"
split = [0.5, 0.2, 0.3]
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small specification, and the same generator whatever else changes."""
    monkeypatch.chdir(tmp_path)
    described = {"version": "0", "commit": None, "dirty": None, "ranks": 1, "layout": "file"}
    monkeypatch.setattr(layout, "generator_description", lambda ranks, layout: described)
    (tmp_path / "small.toml").write_text(SPEC)
    return tmp_path


@pytest.fixture
def finished(workplace: Path) -> Path:
    """The dataset, never interrupted."""
    assert main(["simulate", "small.toml", "--out", "finished.h5"]) == 0
    return workplace / "finished.h5"


def fails(
    capsys: pytest.CaptureFixture[str], code: int, arguments: list[str], *expected: str
) -> None:
    capsys.readouterr()
    assert main(["simulate", *arguments]) == code
    output = capsys.readouterr()
    assert output.err.count("hpcbench: ") == 1
    for part in expected:
        assert part in output.err
    assert "Traceback" not in output.err
    assert not output.out


def interrupt(monkeypatch: pytest.MonkeyPatch, block: int, error: BaseException) -> None:
    """Make the writing of a block fail, once its states are written."""
    write = Store._put

    def failing(self: Store, name: str, place: tuple[int, ...], values: np.ndarray) -> None:
        if name == "checksum" and place[0] == block:
            raise error
        write(self, name, place, values)

    monkeypatch.setattr(Store, "_put", failing)


def test_a_dataset_and_its_report(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "small.toml", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == "data/small.h5"
    assert not document["already_there"]
    assert {"name", "value", "unit"} <= set(document["results"][0])
    values = {result["name"]: result["value"] for result in document["results"]}
    assert values["trajectories"] == 6
    assert values["updates"] > 0
    assert check("data/small.h5") == []
    with open_dataset("data/small.h5") as dataset:
        assert verify(dataset) == []
        assert dataset.content_hash == document["content_hash"]
        assert dataset.header.shape == (6, 800, 8)
        assert [len(dataset.members(s)) for s in ("train", "validation", "test")] == [3, 1, 2]
        assert dataset.lyapunov_exponent is None  # nobody published that of eight sites
        assert np.std(dataset.trajectory(0)) > 1
    assert sorted(path.name for path in Path("data").iterdir()) == ["small.h5"]


def test_samples_are_those_of_one_long_integration(finished: Path) -> None:
    from sims.generation.spec import read_spec

    spec = read_spec("small.toml")
    system = spec.build_system()
    states = system.initial_states(3, range(6))
    out = np.empty((6, 799, 8), np.float32)
    system.advance(states, 0.01, 50, 50)
    first = states.astype(np.float32)
    system.advance(states, 0.01, 799 * 2, 2, out)
    with open_dataset(finished) as dataset:
        for member in range(6):
            np.testing.assert_array_equal(dataset.trajectory(member)[0], first[member])
            np.testing.assert_array_equal(dataset.trajectory(member)[1:], out[member])
    with h5py.File(finished) as file:
        np.testing.assert_array_equal(file["final_state"], states)


def test_options_override_the_specification(workplace: Path) -> None:
    options = ["--out", "other.h5", "--seed", "4", "--parameters.forcing", "10"]
    assert main(["simulate", "small.toml", *options, "--sampling.dtype=float64"]) == 0
    with open_dataset("other.h5") as dataset:
        assert dataset.header.seed == 4
        assert dataset.parameters["forcing"] == 10
        assert dataset.dtype == np.float64


def test_what_is_there_is_not_made_twice(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, changed = finished.read_bytes(), finished.stat().st_mtime_ns
    assert main(["simulate", "small.toml", "--out", "finished.h5", "--json"]) == 0
    output = capsys.readouterr()
    assert "finished.h5: already holds this dataset; nothing to do" in output.err
    assert json.loads(output.out[output.out.index("{") :])["already_there"]
    assert (finished.read_bytes(), finished.stat().st_mtime_ns) == (before, changed)


def test_a_dataset_is_not_continued_by_another_kernel(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as context:
        interrupt(context, 3, KeyboardInterrupt())
        assert main(["simulate", "small.toml", "--out", "x.h5"]) == 130
    arguments = ["small.toml", "--out", "x.h5", "--resume"]
    fails(
        capsys, 2, [*arguments, "--integration.kernel=reference"],
        'was begun by "compiled ', 'continued by "reference"',
    )  # fmt: skip
    assert main(["simulate", *arguments]) == 0
    with open_dataset("x.h5") as dataset:
        assert dataset.generator["kernel"].startswith("compiled ")


def test_another_dataset_is_not_overwritten(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = finished.read_bytes()
    arguments = ["small.toml", "--out", "finished.h5", "--parameters.forcing", "9"]
    for options in ([], ["--resume"]):
        fails(capsys, 2, [*arguments, *options], "finished.h5: holds another dataset (complete)",
              "parameters is {'forcing': 8.0, 'num_sites': 8}, not", "another --out")  # fmt: skip
    assert finished.read_bytes() == before


@pytest.mark.parametrize("block", [0, 1, 6])
def test_ctrl_c_keeps_what_is_written(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], block: int
) -> None:
    arguments = ["small.toml", "--out", "begun.h5"]
    with monkeypatch.context() as context:
        interrupt(context, block, KeyboardInterrupt())
        fails(capsys, 130, arguments, "interrupted; what was written is kept")
    fails(capsys, 2, arguments, "begun.h5: holds this dataset, unfinished; add --resume")
    fails(capsys, 2, [*arguments, "--seed=9", "--resume"], "holds another dataset (unfinished)")
    fails(capsys, 2, [*arguments, "--resume", "--layout", "parts"], 'was begun as "file"')
    assert main(["simulate", *arguments, "--resume"]) == 0
    assert Path("begun.h5").read_bytes() == finished.read_bytes()
    assert not Path("begun.h5.lock").exists()


def test_an_interrupted_spin_up_starts_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(
            advance, "check_finite", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert main(["simulate", "small.toml", "--out", "begun.h5"]) == 130
    assert main(["simulate", "small.toml", "--out", "begun.h5", "--resume"]) == 0
    assert Path("begun.h5").read_bytes() == finished.read_bytes()


def test_a_disk_that_fills_up(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as context:
        interrupt(context, 3, full)
        fails(capsys, 3, ["small.toml", "--out", "begun.h5"], "begun.h5: not finished, what was",
              "--resume", "(No space left on device)")  # fmt: skip
    assert main(["simulate", "small.toml", "--out", "begun.h5", "--resume"]) == 0
    assert Path("begun.h5").read_bytes() == finished.read_bytes()


@pytest.fixture
def small_disk(workplace: Path) -> Iterator[Path]:
    """A disk of 1.1 MB where this user may mount one, else nothing."""
    place = workplace / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1100k", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield place
    if mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_before_the_work(
    workplace: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not small_disk.is_mount():  # an ordinary user may not mount; pretend
        usage = shutil.disk_usage(small_disk)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    for kind in ("file", "parts"):
        fails(capsys, 2, ["small.toml", "--out", "disk/full.h5", "--layout", kind],
              "disk/full.h5: needs 0.00121 GB", "GB are free in disk")  # fmt: skip
        assert list(small_disk.iterdir()) == []


def test_a_quota_is_told_before_the_work(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exceeded(*_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "posix_fallocate", exceeded)
    for kind in ("file", "parts"):
        fails(capsys, 2, ["small.toml", "--out", "out/full.h5", "--layout", kind],
              "out/full.h5: cannot be written (Disk quota exceeded)")  # fmt: skip
        assert list(Path("out").iterdir()) == []


def test_places_that_cannot_be_written(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "folder.h5").mkdir()
    fails(capsys, 2, ["small.toml", "--out", "folder.h5"], "folder.h5: is a folder")
    fails(
        capsys, 2, ["small.toml", "--out", "small.toml/x.h5"], "small.toml/x.h5: cannot be written"
    )
    locked = Path("/sys/x.h5")  # not even root may
    if os.geteuid():
        (workplace / "locked").mkdir(mode=0o555)
        locked = workplace / "locked" / "x.h5"
    fails(capsys, 2, ["small.toml", "--out", str(locked)], f"{locked}: cannot be written")


def test_other_files_are_not_overwritten(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = workplace / "notes.h5"
    text.write_text("do not lose me")
    fails(capsys, 2, ["small.toml", "--out", "notes.h5"], "notes.h5: is not an HDF5 file")
    assert text.read_text() == "do not lose me"
    assert main(["simulate", "small.toml", "--out", "lost.h5", "--layout", "parts"]) == 0
    Path("lost.h5").unlink()
    for options in ([], ["--resume"]):
        fails(capsys, 2, ["small.toml", "--out", "lost.h5", *options],
              "lost.h5.parts: is there, but lost.h5 is not")  # fmt: skip
    assert Path("lost.h5.parts/00000.h5").stat().st_size > 150_000


def test_a_second_writer_refuses(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with writer_lock(Path("busy.h5")):
        fails(capsys, 2, ["small.toml", "--out", "busy.h5"], "busy.h5: another process is writing")
    assert main(["simulate", "small.toml", "--out", "busy.h5"]) == 0


def test_resume_of_nothing_starts(finished: Path) -> None:
    assert main(["simulate", "small.toml", "--out", "new.h5", "--resume"]) == 0
    assert Path("new.h5").read_bytes() == finished.read_bytes()


def test_a_kill_while_the_files_are_made_is_survived(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit(-9)

    arguments = ["simulate", "small.toml", "--out", "split.h5", "--layout", "parts"]
    with monkeypatch.context() as context:
        context.setattr(layout, "create_virtual", killed)
        context.setattr(shutil, "rmtree", lambda *_, **__: None)  # a kill cleans nothing up
        with pytest.raises(SystemExit):
            main(arguments)
    Path("split.h5.parts/00001.h5.new").touch()
    assert main(arguments) == 0
    assert sorted(path.name for path in Path("split.h5.parts").iterdir()) == ["00000.h5"]
    with open_dataset("split.h5") as parts, open_dataset(finished) as whole:
        assert parts.state_sha256() == whole.state_sha256()


def test_one_rank_may_write_parts(finished: Path) -> None:
    assert main(["simulate", "small.toml", "--out", "split.h5", "--layout", "parts"]) == 0
    assert check("split.h5") == []
    with open_dataset("split.h5") as parts, open_dataset(finished) as whole:
        assert parts.state_sha256() == whole.state_sha256()
    with h5py.File("split.h5") as file:
        assert file["state"].is_virtual


def test_collective_needs_hdf5_with_mpi(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Without:
        mpi = False

    monkeypatch.setattr(h5py, "get_config", Without)
    fails(capsys, 4, ["small.toml", "--out", "x.h5", "--layout", "collective"],
          "needs an h5py built with MPI", '"parts"')  # fmt: skip
    assert not Path("x.h5").exists()


def test_a_run_that_blows_up(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, 2, ["small.toml", "--out", "x.h5", "--integration.step=0.5",
          "--sampling.sample_interval=0.5"], "integration.step: 0.5 is too large for lorenz96",
          "trajectory 0", "give a smaller step")  # fmt: skip


WRONG: list[tuple[list[str], str]] = [
    (["smal.toml"], 'smal.toml: no such file (did you mean "small.toml"?)'),
    (["small.toml", "--layout", "part"], "argument --layout: invalid choice: 'part'"),
    (["small.toml", "--outt", "x.h5"], "unrecognized arguments: --outt"),
    (["small.toml", "--seed", "one"], 'small.toml: seed: input should be a valid integer'),
    (["small.toml", "--seed"], "argument --seed: expected one argument"),
    (["small.toml", "--parameters.sites", "8"], "parameters.sites: unknown key"),
    (["small.toml", "--sampling.dtype"], "--sampling.dtype: needs a value"),
    ([], "the following arguments are required: SPEC.toml"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), WRONG, ids=lambda x: str(x)[:40])
def test_wrong_options(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    fails(capsys, 2, arguments, expected)
    assert not Path("data").exists()


@pytest.mark.parametrize("content", ["system = ", "", "[system]", 'system = "lorenz96"'])
def test_broken_specifications(
    workplace: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (workplace / "small.toml").write_text(content)
    fails(capsys, 2, ["small.toml"], "small.toml: ")


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["simulate", "--help"])
    shown: Any = capsys.readouterr().out
    for option in ("--out", "--layout", "--resume", "--seed", "--json", "--parameters.forcing"):
        assert option in shown
