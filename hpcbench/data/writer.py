"""Making the files of a dataset, and declaring it complete.

Every array is allocated contiguously when its file is made, so that writing states later
(:mod:`hpcbench.data.store`) changes no HDF5 metadata. ``@complete`` is set last of all. Files
hold no times, so a continued dataset ends equal to one that was never interrupted, byte for byte.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import h5py
import numpy as np

from hpcbench.config.tree import canonical_json
from hpcbench.data.format import (
    FORMAT,
    PART_FORMAT,
    SCALES,
    SPLITS,
    VERSION,
    Header,
    Layout,
    open_hdf5,
    part_path,
    write_header,
)
from hpcbench.data.store import Store, add_sums, checksums
from hpcbench.errors import InputError
from hpcbench.run.files import replaced, sync
from hpcbench.run.provenance import code_version

BLOCK_BYTES = 64 * 2**20
"""Most bytes in a block of all trajectories, unless that makes its pieces too short to write."""

PIECE_BYTES = 4096
"""Least bytes that a block holds of one trajectory: they are contiguous in the file."""

NUM_BLOCKS = 32
"""Least number of blocks of a dataset with enough samples, so that little is lost by a kill."""


def block_length(header: Header) -> int:
    """Return the number of samples in a block: the same on any number of ranks."""
    sample_bytes = header.num_components * np.dtype(header.dtype).itemsize
    longest = BLOCK_BYTES // (sample_bytes * header.num_trajectories)
    shortest = -(-PIECE_BYTES // sample_bytes)
    length = max(min(longest, -(-header.num_samples // NUM_BLOCKS)), shortest)
    num_blocks = -(-header.num_samples // length)
    return -(-header.num_samples // num_blocks)


def bookkeeping_bytes(header: Header) -> int:
    """Return what the files of a dataset take at most beside ``/state``."""
    num_trajectories, num_samples, num_components = header.shape
    per_trajectory = 8 * 8 * num_components + 4 * NUM_BLOCKS
    return 2**20 + 8 * num_samples + per_trajectory * num_trajectories


def generator_description(ranks: int, layout: Layout) -> dict[str, Any]:
    """Return the content of ``@generator``."""
    return {**code_version(), "ranks": ranks, "layout": layout}


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Keep other writers off a dataset; raise :class:`InputError` when there is one already."""
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"{path}: another process is writing this dataset; wait for it, or give another --out"
        ) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # before the release: nobody holds the new one
        lock.release()


def create_whole(path: Path, header: Header, generator: dict[str, Any]) -> None:
    """Make a dataset in one file, with nothing in it yet."""
    with new_file(path, header) as file:
        _describe(file, header, generator)
        _allocate(file, header, range(header.num_trajectories))
        attach_scales(file)


def create_part(path: Path, index: int, header: Header, members: range) -> None:
    """Make the part that will hold some of the trajectories of the dataset at ``path``."""
    with new_file(part_path(path, index), header) as file:
        file.attrs["format"] = PART_FORMAT
        file.attrs["version"] = VERSION
        file.attrs["content_hash"] = header.content_hash()
        file.attrs["first_trajectory"] = members.start
        _allocate(file, header, members)


def create_virtual(
    path: Path, header: Header, generator: dict[str, Any], parts: Sequence[range]
) -> None:
    """Make the file that shows existing parts as one dataset."""
    with new_file(path, header) as file:
        _describe(file, header, generator)
        for name, shape, dtype in _per_trajectory(header, header.num_trajectories):
            layout = h5py.VirtualLayout(shape, dtype)
            axis = SCALES[name].index("trajectory")
            for index, members in enumerate(parts):
                place = part_path(path, index).relative_to(path.parent)
                part_shape = (*shape[:axis], len(members), *shape[axis + 1 :])
                source = h5py.VirtualSource(str(place), name, part_shape, dtype)
                layout[(slice(None),) * axis + (slice(members.start, members.stop),)] = source
            # what the HDF5 library shows in place of a part that was lost
            fill = np.nan if np.dtype(dtype).kind == "f" else 0
            file.create_virtual_dataset(name, layout, fillvalue=fill)
        file["checksum"].attrs["algorithm"] = "crc32"
        attach_scales(file)


@contextmanager
def new_file(path: Path, header: Header) -> Iterator[h5py.File]:
    """Make a file under a passing name, so that a name never stands for half a file."""
    passing = path.with_name(f"{path.name}.new")
    # room for all but the states: a disk that is full is found here, where HDF5 would crash on it
    with passing.open("wb") as reserved:
        os.posix_fallocate(reserved.fileno(), 0, bookkeeping_bytes(header))
    layout = {"alignment_threshold": 65536, "alignment_interval": 4096}
    with replaced(path, passing, synced=True), h5py.File(passing, "w", **layout) as file:
        yield file


def _per_trajectory(header: Header, count: int) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of the datasets that hold something of each trajectory."""
    _, num_samples, num_components = header.shape
    num_blocks = -(-num_samples // block_length(header))
    return [
        ("state", (count, num_samples, num_components), header.dtype),
        ("final_state", (count, num_components), "float64"),
        ("checksum", (num_blocks, count), "uint32"),
    ]


def _describe(file: h5py.File, header: Header, generator: dict[str, Any]) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["version"] = VERSION
    write_header(file, header)
    file.attrs["generator"] = canonical_json(generator)
    file.attrs["complete"] = np.uint8(0)
    num_trajectories, num_samples, num_components = header.shape
    file["trajectory"] = np.arange(num_trajectories)
    file["time"] = np.arange(num_samples) * header.sample_interval
    file["time"].attrs["units"] = "model time units"
    file["component"] = np.arange(num_components)
    file["block"] = np.arange(0, num_samples, block_length(header))
    file["block"].attrs["long_name"] = "first sample of each written block"
    file["split"] = np.repeat(np.arange(3, dtype=np.uint8), header.split)
    file["split"].attrs["flag_values"] = np.arange(3, dtype=np.uint8)
    file["split"].attrs["flag_meanings"] = " ".join(SPLITS)
    for name in ("mean", "std"):
        file[name] = np.full(num_components, np.nan)


def _allocate(file: h5py.File, header: Header, members: range) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    count, num_components = len(members), header.num_components
    slots = [
        ("resume/state", (2, count, num_components), "float64"),
        ("resume/sums", (2, count, 2, num_components), "float64"),
    ]
    for name, shape, dtype in _per_trajectory(header, count) + slots:
        file.create_dataset(name, shape, dtype, dcpl=creation)
    file["checksum"].attrs["algorithm"] = "crc32"
    file["resume/progress"] = np.zeros(1, dtype=np.int64)


def attach_scales(file: h5py.File) -> None:
    """Make the scales of a file with all arrays of the format known as scales of their axes."""
    for scale in ("trajectory", "time", "component", "block"):
        file[scale].make_scale(scale)
    for name, scales in SCALES.items():
        for axis, scale in enumerate(scales):
            file[name].dims[axis].attach_scale(file[scale])


def finish(path: Path, header: Header, stores: Sequence[Path]) -> None:
    """Write mean and standard deviation over the training split, and declare the dataset complete.

    The sums of the trajectories are added in the order of the trajectories, whatever the
    number of stores, so that both are the same to the last bit for every layout.
    """
    total = np.zeros((1, 2, header.num_components))
    left = header.split[0]
    for place in stores:
        with open_hdf5(place) as file:
            slot = (file["checksum"].shape[0] - 1) % 2
            for first in range(0, min(left, file["state"].shape[0]), 4096):
                sums = file["resume/sums"][slot, first : min(first + 4096, left)]
                # an accumulation goes strictly in order, where a sum may go pairwise
                total = np.add.accumulate(np.concatenate([total, sums]))[-1:]
            left = max(0, left - file["state"].shape[0])
    mean, std = mean_and_std(total[0], header.split[0] * header.num_samples)
    with open_hdf5(path, "r+") as file:
        file["mean"][...] = mean
        file["std"][...] = std
        file.flush()
        os.fsync(file.id.get_vfd_handle())
        file.attrs.modify("complete", np.uint8(1))
    sync(path)


def write_dataset(
    path: Path | str, header: Header, states: np.ndarray, generator: dict[str, Any] | None = None
) -> None:
    """Write trajectories that are in memory as a dataset in one file.

    Parameters
    ----------
    path
        The file; it must not exist.
    header
        What defines the content: the system's name, parameters, ``sample_interval``, the split, …
        (:class:`~hpcbench.data.format.Header`). The first trajectories are for training, the next
        for validation, the last for test.
    states
        ``(trajectory, time, component)``, in the system's units; stored as ``header.dtype``.
    generator
        What made them, for the record; by default this version of hpcbench.

    Raises
    ------
    InputError
        The path exists, or the states have another shape than the header says.
    """
    path = Path(path)
    if path.exists():
        raise InputError(f"{path}: already exists; give another name")
    if states.shape != header.shape:
        raise InputError(f"{path}: states have shape {states.shape}, the header {header.shape}")
    states = np.ascontiguousarray(states, dtype=header.dtype)
    create_whole(path, header, generator or generator_description(1, "file"))
    members = range(header.num_trajectories)
    store = Store(path, members)
    sums = np.zeros((len(members), 2, header.num_components))
    for block in range(store.num_blocks):
        times = store.samples(block)
        samples = states[:, times.start : times.stop]
        add_sums(sums, samples)
        store.write_samples(block, members, samples, checksums(samples))
        store.write_states(block, members, samples[:, -1].astype(np.float64), sums)
        store.mark(block)
    store.close()
    finish(path, header, [path])


def mean_and_std(sums: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of ``count`` samples from their sums, (2, component)."""
    mean, square = sums / count
    # the difference of two equal numbers may come out negative by rounding
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def write_example(path: Path | str) -> Header:
    """Write the smallest valid dataset: three trajectories of a rotation, one per split."""
    header = Header(
        system="rotation",
        parameters={"angular_velocity": 1.0},
        integrator="exact",
        step=0.1,
        sample_interval=0.1,
        spin_up=0.0,
        seed=0,
        num_trajectories=3,
        num_samples=4,
        num_components=2,
        dtype="float64",
        split=(1, 1, 1),
        lyapunov_exponent=0.0,
        lyapunov_source="exact",
    )
    phase = np.arange(3)[:, None] + 0.1 * np.arange(4)
    write_dataset(path, header, np.stack([np.cos(phase), np.sin(phase)], axis=-1))
    return header
