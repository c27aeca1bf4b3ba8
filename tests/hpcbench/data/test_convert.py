"""Converting datasets: all is kept, both ways; damage, a full disk and a lost filter are told."""

import json
import subprocess
import sys
from pathlib import Path

import filelock
import h5py
import numpy as np
import pytest
import xarray

from hpcbench.cli import main
from hpcbench.data import convert as module
from hpcbench.data.check import check, verify
from hpcbench.data.compression import BLOSC2, CHUNK_BYTES, chunk_shape, require_filter
from hpcbench.data.dataset import open_dataset
from hpcbench.data.format import SCALES, Header, part_path
from hpcbench.data.store import Store, add_sums, checksums
from hpcbench.data.windows import read_windows
from hpcbench.data.writer import (
    create_part,
    create_virtual,
    create_whole,
    finish,
    generator_description,
    write_dataset,
)
from hpcbench.errors import EnvironmentLacks, InputError

HEADER = Header(
    system="walk",
    parameters={"width": 1.5, "kind": "uniform"},
    integrator="exact",
    step=0.5,
    sample_interval=1.0,
    spin_up=2.0,
    seed=2**64 - 1,
    num_trajectories=5,
    num_samples=6001,
    num_components=33,
    dtype="float32",
    split=(3, 1, 1),
    lyapunov_exponent=0.25,
    lyapunov_source="made up",
)


def states(header: Header) -> np.ndarray:
    """Random walks: smooth enough to be compressible."""
    steps = np.random.default_rng(0).normal(size=header.shape)
    return steps.cumsum(axis=1).astype(header.dtype)


def write_parts(path: Path, header: Header, shares: list[range]) -> None:
    part_path(path, 0).parent.mkdir()
    for index, members in enumerate(shares):
        create_part(path, index, header, members)
    create_virtual(path, header, generator_description(len(shares), "parts"), shares)
    values = states(header)
    for index, members in enumerate(shares):
        store = Store(part_path(path, index), members)
        sums = np.zeros((len(members), 2, header.num_components))
        for block in range(store.num_blocks):
            times = store.samples(block)
            samples = values[members.start : members.stop, times.start : times.stop].copy()
            add_sums(sums, samples)
            store.write_samples(block, members, samples, checksums(samples))
            store.write_states(block, members, samples[:, -1].astype(float), sums)
            store.mark(block)
        store.close()
    finish(path, header, [part_path(path, index) for index in range(len(shares))])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "walk.h5"
    write_dataset(path, HEADER, states(HEADER))
    return path


@pytest.fixture
def packed(source: Path) -> Path:
    path = source.with_name("packed.h5")
    assert main(["convert", str(source), str(path)]) == 0
    return path


def contents(path: Path) -> dict[str, object]:
    """All that format 1 defines, but the layout, which a conversion changes."""
    with h5py.File(path) as file:
        attributes = {n: v for n, v in file.attrs.items() if n != "generator"}
        generator = json.loads(file.attrs["generator"])
        del generator["layout"]
        arrays = {n: file[n][()].tobytes() for n in (*SCALES, "trajectory", "time", "block")}
        dtypes = {n: file[n].dtype for n in arrays}
        marks = {
            f"{n}@{name}": np.asarray(file[n].attrs[name]).tolist()
            for n, name in (("split", "flag_values"), ("checksum", "algorithm"), ("time", "units"))
        }
        return {"generator": generator, **dtypes, **{f"/{n}": v for n, v in arrays.items()}} | {
            "attributes": {n: np.asarray(v).tolist() for n, v in attributes.items()},
            **marks,
        }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["file", "parts"])
def test_there_and_back(
    dtype: str, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = HEADER.model_copy(update={"dtype": dtype})
    start, packed, back = (tmp_path / f"{name}.h5" for name in ("start", "packed", "back"))
    if layout == "file":
        write_dataset(start, header, states(header))
    else:
        write_parts(start, header, [range(2), range(2, 3), range(3, 5)])
    # pieces of several trajectories, over the limits of parts, and pieces of one trajectory
    monkeypatch.setattr(module, "PIECE_BYTES", 2_500_000)
    assert main(["convert", str(start), str(packed), "--level", "9"]) == 0
    monkeypatch.setattr(module, "PIECE_BYTES", 200_000)
    assert main(["convert", str(packed), str(back), "--compress", "none"]) == 0
    expected = contents(start)
    for path, compression in ((packed, "blosc2"), (back, "none")):
        found = contents(path)
        assert found == expected
        assert check(path) == []
        with open_dataset(start) as one, open_dataset(path) as other:
            assert other.header == header
            assert other.compression == compression
            assert other.layout == "file"
            assert one.state_sha256() == other.state_sha256()
            assert one.content_hash == other.content_hash
            assert verify(other) == []
            for member in range(header.num_trajectories):
                np.testing.assert_array_equal(one.trajectory(member), other.trajectory(member))
                assert not other.trajectory(member).flags.writeable
            members, starts = np.array([4, 0]), np.array([800, 3])
            windows = [read_windows(d, members, starts, 7) for d in (one, other)]
            np.testing.assert_array_equal(*windows)
        with xarray.open_dataset(path, engine="h5netcdf") as view:
            assert view.state.dims == ("trajectory", "time", "component")
            np.testing.assert_array_equal(view.state, states(header))
    assert packed.stat().st_size < back.stat().st_size
    assert not list(tmp_path.glob("*.new")) + list(tmp_path.glob("*.lock"))


def test_a_contiguous_copy_differs_in_resume_alone(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.h5"
    assert main(["convert", str(source), str(copy), "--compress", "none"]) == 0
    with h5py.File(source) as one, h5py.File(copy) as other:
        assert set(one) - set(other) == {"resume"}
        assert set(one.attrs) == set(other.attrs)
        assert other["state"].chunks is None
        for name, value in one.attrs.items():
            assert other.attrs.get_id(name).dtype == one.attrs.get_id(name).dtype
            np.testing.assert_array_equal(other.attrs[name], value)


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((256, 2000, 40), "float32", (1, 2000, 40)),
        ((256, 20_000, 40), "float32", (1, 2858, 40)),
        ((256, 20_000, 40), "float64", (1, 1539, 40)),
        ((1000, 100, 3), "float64", (200, 100, 3)),
        ((2, 10, 1_000_001), "float64", (1, 1, 62_501)),
        ((1, 1, 1), "float32", (1, 1, 1)),
    ],
)
def test_chunks(shape: tuple[int, int, int], dtype: str, expected: tuple[int, int, int]) -> None:
    names = ("num_trajectories", "num_samples", "num_components")
    update = {**dict(zip(names, shape, strict=True)), "dtype": dtype, "split": (shape[0], 0, 0)}
    chunks = chunk_shape(HEADER.model_copy(update=update))
    assert chunks == expected
    assert np.prod(chunks) * np.dtype(dtype).itemsize <= CHUNK_BYTES


def test_short_trajectories_and_long_samples(tmp_path: Path) -> None:
    for shape in ((120, 40, 33), (2, 3, 150_000)):
        names = ("num_trajectories", "num_samples", "num_components")
        update = {**dict(zip(names, shape, strict=True)), "split": (shape[0] - 1, 0, 1)}
        header = HEADER.model_copy(update=update)
        path, out = tmp_path / f"{shape[0]}.h5", tmp_path / f"{shape[0]}-packed.h5"
        write_dataset(path, header, states(header))
        assert main(["convert", str(path), str(out)]) == 0
        assert check(out) == []
        with open_dataset(path) as one, open_dataset(out) as other:
            assert verify(other) == []
            assert one.state_sha256() == other.state_sha256()


def test_damage_is_named_by_block(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Flip a byte anywhere in a chunk, also where it can no longer be unpacked."""
    healthy = packed.read_bytes()
    with h5py.File(packed) as file:
        chunk = file["state"].id.get_chunk_info_by_coord((3, 3001, 0))
        assert file["state"].chunks == (1, 3001, 33)
        starts = file["block"][()]
    blocks = [b for b in range(32) if [*starts[1:], 6001][b] > 3001]
    seen = set()
    for position in (0, 20, 60, *range(200, chunk.size, chunk.size // 9)):
        damaged = bytearray(healthy)
        damaged[chunk.byte_offset + position] ^= 0xFF
        packed.write_bytes(damaged)
        capsys.readouterr()
        code = main(["inspect", str(packed), "--verify"])
        error = capsys.readouterr().err
        if code == 0:  # a byte of the packed stream that carries nothing
            with open_dataset(packed) as dataset:
                np.testing.assert_array_equal(dataset.trajectory(3), states(HEADER)[3])
            continue
        assert code == 1
        named = [b for b in range(32) if f"block {b} of trajectory 3" in error]
        assert named
        assert set(named) <= set(blocks)
        assert not any(f"of trajectory {m}" in error for m in (0, 1, 2, 4))
        assert "Traceback" not in error
        ways = ("cannot be unpacked", "does not match its checksum")
        seen |= {way for way in ways if way in error}
        if "cannot be unpacked" in error:
            assert named == blocks
            with open_dataset(packed) as dataset, pytest.raises(InputError, match="trajectory 3"):
                dataset.trajectory(3)
    assert seen == {"cannot be unpacked", "does not match its checksum"}


def test_what_is_damaged_stays_damaged(source: Path, tmp_path: Path) -> None:
    """Checksums are those of the source: packing does not make its damage look sound."""
    with open_dataset(source) as dataset:
        place = dataset.extents[0].offset
        assert place is not None
    data = bytearray(source.read_bytes())
    data[place + 1000] ^= 1
    source.write_bytes(data)
    out = tmp_path / "out.h5"
    assert main(["convert", str(source), str(out)]) == 0
    with open_dataset(out) as dataset:
        (problem,) = verify(dataset)
    assert "out.h5: block 0 of trajectory 0 (samples 0 to " in problem


def test_existing_unfinished_and_foreign_files(
    source: Path, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = packed.read_bytes()
    unfinished, other = tmp_path / "unfinished.h5", tmp_path / "other.h5"
    create_whole(unfinished, HEADER, generator_description(1, "file"))
    no_folder = tmp_path / "plain" / "out.h5"
    no_folder.parent.write_bytes(b"")
    new = str(tmp_path / "new.h5")
    for arguments, code, message in [
        ([str(source), str(packed)], 2, "packed.h5: already exists; give another OUT.h5"),
        ([str(source), str(source)], 2, "walk.h5: already exists"),
        ([str(unfinished), new], 2, "unfinished.h5: is incomplete"),
        ([str(other), new], 2, "other.h5: no such file"),
        ([str(source), str(no_folder)], 2, "cannot be written (File exists)"),
        ([str(source), new, "--compress", "none", "--level", "3"], 2, "--level: is the effort"),
        ([str(source), new, "--level", "10"], 2, "invalid choice: 10"),
    ]:
        capsys.readouterr()
        assert main(["convert", *arguments]) == code
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    assert packed.read_bytes() == before
    with filelock.FileLock(f"{new}.lock"):
        assert main(["convert", str(source), new]) == 2
        assert "new.h5: another process is writing this dataset" in capsys.readouterr().err
    assert not Path(new).exists()


def test_training_and_extending_refuse_a_packed_dataset(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = Path(__file__).parents[3] / "jobs/specs/lorenz96_smoke.toml"
    run = ["--data", str(packed), "--out", str(tmp_path / "run"), "--train.backend", "none"]
    assert main(["train", str(spec), *run]) == 2
    assert f"hpcbench convert {packed} OUT.h5 --compress none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"in chunks \(compression blosc2\)"):
        open_dataset(packed, mapped=True)


def test_embed_reads_a_packed_dataset(
    source: Path, packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = []
    for path in (source, packed):
        capsys.readouterr()
        assert main(["embed", str(path), "--json"]) == 0
        documents.append(json.loads(capsys.readouterr().out)["results"])
    assert documents[0] == documents[1]


WITHOUT_PLUGIN = """
import sys
sys.modules["hdf5plugin"] = None
from hpcbench.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_a_filter_that_is_missing(command: str, source: Path, packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "folder" / "out.h5"
    arguments = [source, out] if command == "convert" else [packed]
    argv = [sys.executable, "-P", "-c", WITHOUT_PLUGIN, command, *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == EnvironmentLacks.exit_code
    named = out if command == "convert" else packed
    assert f'{named}: compression "blosc2" needs a filter' in done.stderr
    assert "pip install hdf5plugin" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.parent.exists()


def test_any_filter_that_hdf5_has_is_read(source: Path) -> None:
    with h5py.File(source, "r+") as file:
        values = file["state"][()]
        del file["state"]
        state = file.create_dataset("state", data=values, compression="gzip", shuffle=True)
        for axis, name in enumerate(SCALES["state"]):
            state.dims[axis].attach_scale(file[name])
    assert check(source) == []
    with open_dataset(source) as dataset:
        assert dataset.compression == "shuffle gzip"
        assert verify(dataset) == []
    require_filter(BLOSC2, source)
    with pytest.raises(EnvironmentLacks, match="filter 511"):
        require_filter(511, source)


@pytest.mark.parametrize("small_disk", ["6m"], indirect=True)
@pytest.mark.parametrize("compress", ["blosc2", "none"])
def test_a_full_disk(compress: str, small_disk: Path, source: Path) -> None:
    """In a process of its own: HDF5 may crash it, and then not before its end."""
    arguments = ["convert", source, small_disk / "out.h5", "--compress", compress]
    code = (
        "import sys, hpcbench.data.convert as c; c.PIECE_BYTES = 500_000\n"
        "from hpcbench.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "out.h5: cannot be written (no space left: " in done.stderr
    assert list(small_disk.iterdir()) == []


def test_a_kill_leaves_no_half_file(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    code = (
        "import os, sys, signal, hpcbench.data.convert as c\n"
        "c.PIECE_BYTES, read, calls = 500_000, c._read, []\n"
        "def count(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(*arguments)\n"
        "c._read = count\n"
        "from hpcbench.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-P", "-c", code, "convert", str(source), str(out)]
    done = subprocess.run(argv, capture_output=True, timeout=120, check=False)
    assert done.returncode == -9
    assert not out.exists()
    assert main(["convert", str(source), str(out)]) == 0
    with open_dataset(out) as dataset:
        assert verify(dataset) == []
    assert not list(tmp_path.glob("*.new"))
