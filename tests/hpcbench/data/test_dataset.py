"""The dataset format: what a valid file holds, every broken rule, and how writing survives."""

import contextlib
import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from hpcbench.data.check import check, verify
from hpcbench.data.dataset import open_dataset
from hpcbench.data.format import FORMAT, SCALES, Header, part_path
from hpcbench.data.store import Store, add_sums, checksums
from hpcbench.data.writer import (
    block_length,
    create_part,
    create_virtual,
    create_whole,
    finish,
    generator_description,
    write_dataset,
    write_example,
)
from hpcbench.errors import InputError

HEADER = Header(
    system="walk",
    parameters={"width": 1.5, "kind": "uniform"},
    integrator="exact",
    step=0.5,
    sample_interval=1.0,
    spin_up=2.0,
    seed=2**64 - 1,
    num_trajectories=7,
    num_samples=90,
    num_components=60,
    dtype="float32",
    split=(4, 1, 2),
)

GENERATOR = {"version": "0", "commit": None, "dirty": None, "ranks": 1, "layout": "file"}


def states(header: Header = HEADER) -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, size=header.shape).astype(header.dtype)


def write_blocks(store: Store, members: range, values: np.ndarray) -> None:
    sums = np.zeros((len(members), 2, HEADER.num_components))
    for block in range(store.num_blocks):
        times = store.samples(block)
        samples = np.ascontiguousarray(
            values[members.start : members.stop, times.start : times.stop]
        )
        add_sums(sums, samples)
        store.write_samples(block, members, samples, checksums(samples))
        store.write_states(block, members, samples[:, -1].astype(float), sums)
        store.mark(block)
    store.close()


def write_parts(path: Path, shares: list[range]) -> None:
    part_path(path, 0).parent.mkdir()
    for index, members in enumerate(shares):
        create_part(path, index, HEADER, members)
    create_virtual(path, HEADER, generator_description(len(shares), "parts"), shares)
    for index, members in enumerate(shares):
        write_blocks(Store(part_path(path, index), members), members, states())
    finish(path, HEADER, [part_path(path, index) for index in range(len(shares))])


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "walk.h5"
    write_dataset(path, HEADER, states(), GENERATOR)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    path = tmp_path / "split.h5"
    write_parts(path, [range(2), range(2, 3), range(3, 7)])
    return path


def test_the_smallest_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "example.h5"
    header = write_example(path)
    assert check(path) == []
    with open_dataset(path) as dataset:
        assert dataset.header == header
        assert [list(dataset.members(name)) for name in ("train", "validation", "test")] == [
            [0],
            [1],
            [2],
        ]
        phase = 1 + 0.1 * np.arange(4)
        expected = np.stack([np.cos(phase), np.sin(phase)], axis=-1)
        np.testing.assert_array_equal(dataset.trajectory(1), expected)
        assert verify(dataset) == []
    with pytest.raises(InputError, match="already exists"):
        write_example(path)


@pytest.mark.parametrize("layout", ["whole", "parts"])
def test_what_is_written_is_read(layout: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(layout)
    assert check(path) == []
    values = states()
    with open_dataset(path) as dataset:
        assert dataset.header == HEADER
        assert dataset.lyapunov_exponent is None
        assert dataset.dtype == np.float32
        assert dataset.parameters == {"width": 1.5, "kind": "uniform"}
        for member in range(7):
            trajectory = dataset.trajectory(member)
            np.testing.assert_array_equal(trajectory, values[member])
            assert not trajectory.flags.writeable
        train = values[:4].astype(np.float64).reshape(-1, 60)
        np.testing.assert_allclose(dataset.mean, train.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(dataset.std, train.std(axis=0), rtol=1e-12)
        assert verify(dataset) == []
        with pytest.raises(InputError, match=r'"tests" is no split \(did you mean "test"'):
            dataset.members("tests")  # type: ignore[arg-type]


def test_layouts_hold_the_same_to_the_last_bit(whole: Path, parts: Path) -> None:
    with open_dataset(whole) as one, open_dataset(parts) as many:
        assert one.state_sha256() == many.state_sha256()
        assert one.content_hash == many.content_hash
        np.testing.assert_array_equal(one.mean, many.mean)
        np.testing.assert_array_equal(one.std, many.std)
        assert (one.layout, many.layout) == ("file", "parts")
    with h5py.File(whole) as one, h5py.File(parts) as many:
        for name in SCALES:
            np.testing.assert_array_equal(one[name][()], many[name][()])


@pytest.mark.parametrize("layout", ["whole", "parts"])
def test_xarray_opens_it_with_named_axes(layout: str, request: pytest.FixtureRequest) -> None:
    with xarray.open_dataset(request.getfixturevalue(layout), engine="h5netcdf") as data:
        assert data["state"].dims == ("trajectory", "time", "component")
        np.testing.assert_array_equal(data["state"].values, states())
        np.testing.assert_array_equal(data["time"], np.arange(90.0))
        assert data["split"].attrs["flag_meanings"].split() == ["train", "validation", "test"]
        assert data.attrs["format"] == FORMAT


def test_a_dataset_of_parts_may_be_moved(parts: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    parts.rename(elsewhere / parts.name)
    part_path(parts, 0).parent.rename(elsewhere / f"{parts.name}.parts")
    with open_dataset(elsewhere / parts.name) as dataset:
        np.testing.assert_array_equal(dataset.trajectory(6), states()[6])
    with h5py.File(elsewhere / parts.name) as file:  # without our reader too
        np.testing.assert_array_equal(file["state"][6], states()[6])


# ------------------------------------------------------------------------ files that are refused


def refuse(path: Path, *expected: str) -> None:
    with pytest.raises(InputError) as caught:
        open_dataset(path)
    message = str(caught.value)
    for part in expected:
        assert part in message
    assert check(path) == [message]


def test_missing_file(whole: Path) -> None:
    refuse(whole.with_name("walks.h5"), "no such file", '(did you mean "walk.h5"?)', "simulate")
    refuse(whole.parent, "is a folder")


def test_foreign_files(tmp_path: Path) -> None:
    text = tmp_path / "text.h5"
    text.write_text("not HDF5 at all, but long enough to be looked at " * 40)
    refuse(text, "is not an HDF5 file")
    (tmp_path / "empty.h5").touch()
    refuse(tmp_path / "empty.h5", "is not an HDF5 file")
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["state"] = np.zeros((2, 3, 4))
    refuse(foreign, "another kind", "'hpcbench-dataset'")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_truncated_file(whole: Path, share: float) -> None:
    data = whole.read_bytes()
    whole.write_bytes(data[: int(share * len(data))])
    refuse(whole, str(whole), "again")


def test_damaged_metadata_is_refused_or_harmless(whole: Path) -> None:
    # the first 800 bytes: some damage further on sends HDF5 2.0 itself into an endless loop
    data = whole.read_bytes()
    for position in range(0, 800, 7):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        whole.write_bytes(damaged)
        with contextlib.suppress(InputError):
            open_dataset(whole).close()


def test_another_version(whole: Path) -> None:
    with h5py.File(whole, "r+") as file:
        file.attrs["version"] = 2
    refuse(whole, "is version 2", "reads version 1")


def test_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "begun.h5"
    create_whole(path, HEADER, GENERATOR)
    refuse(path, "is incomplete", f"--out {path} --resume")


def test_being_written(whole: Path) -> None:
    with whole.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refuse(whole, "is being written by another process")
        with pytest.raises(InputError, match="another process has this file open"):
            Store(whole, range(7))


def test_a_missing_part_is_named(parts: Path) -> None:
    part_path(parts, 1).unlink()
    refuse(parts, str(part_path(parts, 1)), "is missing", "split.h5.parts")


def test_damaged_parts_are_named(parts: Path, whole: Path) -> None:
    part = part_path(parts, 2)
    data = part.read_bytes()
    part.write_bytes(data[:-5000])
    refuse(parts, str(part), "truncated")
    shutil.copy(whole, part)
    refuse(parts, str(part), "another kind")
    part.write_bytes(data)
    with h5py.File(part, "r+") as file:
        file.attrs["content_hash"] = "0123456789abcdef"
    refuse(parts, str(part), "is a part of another dataset")
    refuse(part, "is one part of a dataset")


def test_a_lost_part_shows_as_nan_in_other_programs(parts: Path) -> None:
    part_path(parts, 0).unlink()
    with h5py.File(parts) as file:
        assert np.isnan(file["state"][0]).all()


def delete(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def replace(name: str, values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values
        for axis, scale in enumerate(SCALES.get(name, ())):
            if axis < file[name].ndim:
                file[name].dims[axis].attach_scale(file[scale])

    return change


def attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.__setitem__(name, value)


def element(name: str, index: object, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file[name].__setitem__(index, value)


BROKEN = {
    "no state": (delete("state"), "/state is missing"),
    "no split": (delete("split"), "/split is missing"),
    "no mean": (delete("mean"), "is damaged"),
    "no final state": (delete("final_state"), "/final_state is missing; valid: an array"),
    "no checksum": (delete("checksum"), "/checksum is missing"),
    "no time": (delete("time"), "must have the dimension scale /time"),
    "no seed": (lambda file: file.attrs.__delitem__("seed"), "attribute seed is missing"),
    "no complete": (lambda file: file.attrs.__delitem__("complete"), "is damaged"),
    "flat state": (replace("state", np.zeros((7, 90))), "/state has 2 axes"),
    "integer state": (replace("state", np.zeros(HEADER.shape, int)), "dtype: input should be"),
    "negative step": (attribute("step", -1.0), "step: input should be greater than 0"),
    "no JSON": (attribute("parameters", "width 1.5"), "attribute parameters: not JSON"),
    "odd interval": (attribute("sample_interval", 1.3), "must be a whole number of steps"),
    "no source": (attribute("lyapunov_exponent", 1.0), "@lyapunov_source is empty"),
    "no ranks": (
        attribute("generator", '{"layout": "file", "version": "0", "commit": null}'),
        "@generator: ranks is missing",
    ),
    "nothing to train on": (
        replace("split", np.repeat(np.uint8(1), 7)),
        "leaves no trajectory for training",
    ),
    "fourth split": (element("split", 6, 3), "split"),
    "split too short": (replace("split", np.zeros(6, np.uint8)), "does not add up to 7"),
    "mean too short": (element("mean", 0, np.nan), "/mean must hold finite float64 numbers"),
    "single mean": (replace("mean", np.zeros(60, "f4")), "/mean must hold finite float64 numbers"),
    "long std": (replace("std", np.zeros(61)), "/std has shape (61,); valid: (60,)"),
    "negative std": (element("std", 3, -1.0), "/std must not be negative"),
    "wrong time": (element("time", 2, 9.0), "/time must be 0, 1.0, 2.0, ..."),
    "wrong trajectory": (element("trajectory", 0, 1), "/trajectory must be 0, 1, 2, ..."),
    "wrong component": (replace("component", np.arange(3)), "/component must have 60 values"),
    "wrong block": (element("block", 1, 0), "/block must ascend from 0"),
    "wrong end": (element("final_state", (5, 0), 0.0), "/final_state of trajectory 5 is not its"),
    "other checksum": (
        lambda file: file["checksum"].attrs.__setitem__("algorithm", "md5"),
        "/checksum is uint32 by md5",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_rule_is_named(whole: Path, name: str) -> None:
    change, expected = BROKEN[name]
    with h5py.File(whole, "r+") as file:
        change(file)
    problems = check(whole)
    assert any(expected in problem for problem in problems), problems
    assert all(problem.startswith(f"{whole}: ") for problem in problems)


@pytest.mark.parametrize("layout", ["whole", "parts"])
def test_a_flipped_byte_is_found_and_named(layout: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(layout)
    with open_dataset(path) as dataset:
        extent = dataset.extents[-1]
        member, block = 5, 3
        sample = dataset.block_starts[block] + 1
    row = (member - extent.first) * 90 + sample
    with extent.path.open("r+b") as file:
        file.seek(extent.offset + row * 60 * 4 + 7)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x10]))
    assert check(path) == []  # only reading everything finds it
    with open_dataset(path) as dataset:
        (problem,) = verify(dataset)
    assert problem.startswith(f"{extent.path}: block 3 of trajectory 5 (samples ")


def test_wrong_statistics_and_numbers_are_found(whole: Path, tmp_path: Path) -> None:
    with h5py.File(whole, "r+") as file:
        file["mean"][2] += 1e-6
    with open_dataset(whole) as dataset:
        (problem,) = verify(dataset)
    assert "/mean is not that of the training split" in problem
    values = states()
    values[6, 80, 1] = np.inf
    bad = tmp_path / "infinite.h5"
    write_dataset(bad, HEADER, values)
    with open_dataset(bad) as dataset:
        problems = verify(dataset)
    assert any("trajectory 6 holds numbers that are not finite" in text for text in problems)


# -------------------------------------------------------------------------------------- writing


def test_files_hold_no_times(whole: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.h5"
    write_dataset(again, HEADER, states(), GENERATOR)
    assert again.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("num_samples", [1, 2, 17, 18, 500, 10_000])
def test_blocks_cover_the_samples_evenly(num_samples: int, tmp_path: Path) -> None:
    header = HEADER.model_copy(update={"num_samples": num_samples, "num_components": 4})
    create_whole(tmp_path / "blocks.h5", header, GENERATOR)
    store = Store(tmp_path / "blocks.h5", range(7))
    blocks = [store.samples(block) for block in range(store.num_blocks)]
    store.close()
    assert [time for block in blocks for time in block] == list(range(num_samples))
    assert {len(block) for block in blocks[:-1]} <= {block_length(header)}
    assert 0 < len(blocks[-1]) <= block_length(header)


def test_sums_do_not_depend_on_the_batch() -> None:
    samples = states()
    together = np.zeros((7, 2, 60))
    add_sums(together, samples)
    for member in range(7):
        alone = np.zeros((1, 2, 60))
        add_sums(alone, samples[member : member + 1])
        np.testing.assert_array_equal(alone[0], together[member])


KILLED = """
import os, signal, sys
from pathlib import Path
from hpcbench.data import store
from hpcbench.data import writer
from tests.hpcbench.data.test_dataset import GENERATOR, HEADER, states, write_blocks

calls, last = 0, int(sys.argv[2])
write = os.pwrite
def counted(*arguments):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*arguments)
os.pwrite = counted
path = Path(sys.argv[1])
writer.create_whole(path, HEADER, GENERATOR)
write_blocks(store.Store(path, range(7)), range(7), states())
print(calls)
"""


def continue_writing(path: Path) -> None:
    values, store = states(), Store(path, range(7))
    rows = range(7)
    current, sums = store.resume(rows) if store.progress else (None, np.zeros((7, 2, 60)))
    if current is not None:
        end = store.samples(store.progress - 1).stop
        np.testing.assert_array_equal(current, values[:, end - 1].astype(float))
    for block in range(store.progress, store.num_blocks):
        times = store.samples(block)
        samples = np.ascontiguousarray(values[:, times.start : times.stop])
        add_sums(sums, samples)
        store.write_samples(block, rows, samples, checksums(samples))
        store.write_states(block, rows, samples[:, -1].astype(float), sums)
        store.mark(block)
    store.close()
    finish(path, HEADER, [path])


@pytest.mark.parametrize("write", [1, 8, 9, 11, 12, 30])
def test_a_kill_between_any_two_writes_is_survived(whole: Path, tmp_path: Path, write: int) -> None:
    path = tmp_path / "killed.h5"
    root = Path(__file__).resolve().parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(write)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr
    refuse(path, "is incomplete")
    continue_writing(path)
    assert path.read_bytes() == whole.read_bytes()
