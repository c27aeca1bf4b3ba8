"""``hpcbench convert``: a finished dataset as one file, its samples compressed or contiguous."""

import argparse
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcbench.config.tree import canonical_json
from hpcbench.console import message, print_results, progress
from hpcbench.data.compression import BLOSC2, LEVELS, blosc2, chunk_shape, require_filter
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.format import SCALES, Header, read_hdf5
from hpcbench.data.writer import attach_scales, new_file, writer_lock
from hpcbench.errors import InputError, told_as

DEFAULT_LEVEL = 9
"""Packs best and, for noise-like digits, no slower than less (``docs/results/writing.md``)."""

PIECE_BYTES = 8 * 2**20
"""Most bytes of samples in memory, unless one sample is longer."""

SPARE_BYTES = 4 * 2**20
"""Space that is left free: HDF5 does not survive a full disk when it packs chunks."""

SCALE_ATTRIBUTES = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")
"""Attributes by which HDF5 holds arrays and their scales together in one file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench convert``."""
    parser.add_argument("source", metavar="IN.h5", type=Path, help="a finished dataset")
    parser.add_argument("target", metavar="OUT.h5", type=Path, help="file to write")
    parser.add_argument(
        "--compress",
        choices=("blosc2", "none"),
        default="blosc2",
        help="blosc2: LZ4 after a shuffle of bytes (default); none: contiguous, for training",
    )
    parser.add_argument(
        "--level",
        type=int,
        choices=LEVELS,
        metavar="N",
        help=f"effort of blosc2, 0 to 9 (default: {DEFAULT_LEVEL})",
    )


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench convert``."""
    source, target, level = arguments.source, arguments.target, arguments.level
    if arguments.compress == "none":
        if level is not None:
            raise InputError("--level: is the effort of blosc2; leave it out with --compress none")
    elif level is None:
        level = DEFAULT_LEVEL
    with open_dataset(source) as dataset:
        with progress(dataset.num_trajectories, "converting") as advance:
            stored = convert(dataset, target, level, advance)
        num_bytes = dataset.header.num_bytes
        results: list[dict[str, Any]] = [
            {"name": "content_hash", "value": dataset.content_hash, "unit": ""},
            {"name": "state_bytes", "value": num_bytes, "unit": "bytes"},
            {"name": "stored_bytes", "value": stored, "unit": "bytes"},
            {"name": "ratio", "value": num_bytes / stored, "unit": ""},
        ]
    print_results(results, arguments.json, {"path": str(target), "compress": arguments.compress})
    message(f"{target}: converted; hpcbench inspect --verify {target} checks every block")
    return 0


def convert(
    dataset: Dataset,
    target: Path,
    level: int | None,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Write a dataset as one file, and return the bytes that its ``/state`` takes there.

    level
        Effort of blosc2, 0 to 9; None stores the samples contiguously.
    advance
        Called with the number of trajectories done since the last call.

    The file appears whole or not at all. All that format 1 defines is kept; ``/resume`` is left
    out, as there is nothing to continue. Raises :class:`InputError` where there is something at
    ``target`` or no room for it, :class:`EnvironmentLacks` where the filter is missing.
    """
    if level is not None:
        require_filter(BLOSC2, target)
    with _new_dataset(target, dataset.header) as file:
        read_hdf5(dataset.path, lambda source: _copy_all_but_state(source, file))
        file.attrs["generator"] = canonical_json({**dataset.generator, "layout": "file"})
        state = _make_state(file, dataset.header, level)
        attach_scales(file)
        for members, times in _pieces(dataset, state.chunks or (1, 1)):
            samples = _read(dataset, members, times)
            free = shutil.disk_usage(target.parent).free
            if free < samples.nbytes + SPARE_BYTES:
                raise InputError(
                    f"{target}: cannot be written (no space left: {free / 1e6:.3g} MB are free in "
                    f"{target.parent}); nothing of it is kept; give another OUT.h5"
                )
            state[members.start : members.stop, times.start : times.stop] = samples
            file.flush()  # what HDF5 still held back would count as free space
            if times.stop == dataset.num_samples:
                advance(len(members))
        return int(state.id.get_storage_size())


@contextmanager
def _new_dataset(target: Path, header: Header) -> Iterator[h5py.File]:
    """Lend a new file that gets its name once it is whole, and is removed where it fails."""
    with ExitStack() as stack:
        stack.enter_context(told_as(InputError, f"{target}: cannot be written"))
        target.parent.mkdir(parents=True, exist_ok=True)
        stack.enter_context(writer_lock(target))
        if target.exists():
            raise InputError(f"{target}: already exists; give another OUT.h5, or delete it")
        try:
            with new_file(target, header) as file:
                yield file
        except BaseException:
            target.with_name(f"{target.name}.new").unlink(missing_ok=True)
            raise


def _copy_all_but_state(source: h5py.File, target: h5py.File) -> None:
    """Copy attributes and arrays by value: those of parts are virtual in the source."""
    _copy_attributes(source, target)
    scales = {axis for axes in SCALES.values() for axis in axes}
    for name in sorted({*SCALES, *scales} - {"state"}):
        array = source[name]
        copy = target.create_dataset(name, array.shape, array.dtype)
        rows = max(1, PIECE_BYTES // (math.prod(array.shape[1:]) * array.dtype.itemsize))
        for first in range(0, array.shape[0], rows):
            copy[first : first + rows] = array[first : first + rows]
        _copy_attributes(array, copy)
    target["checksum"].attrs["algorithm"] = "crc32"  # early datasets in parts do not say so


def _copy_attributes(source: Any, target: Any) -> None:
    for name, value in source.attrs.items():
        if name not in SCALE_ATTRIBUTES:
            target.attrs.create(name, value, dtype=source.attrs.get_id(name).dtype)


def _make_state(file: h5py.File, header: Header, level: int | None) -> h5py.Dataset:
    if level is None:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        return file.create_dataset("state", header.shape, header.dtype, dcpl=creation)
    chunks = chunk_shape(header)
    return file.create_dataset("state", header.shape, header.dtype, chunks=chunks, **blosc2(level))


def _pieces(dataset: Dataset, chunks: tuple[int, ...]) -> Iterator[tuple[range, range]]:
    """Cut the samples, in order, into pieces of whole chunks: trajectories and times."""
    num_trajectories, num_samples, num_components = dataset.header.shape
    sample_bytes = num_components * dataset.dtype.itemsize
    num_times = min(num_samples, _multiple(chunks[1], PIECE_BYTES // sample_bytes))
    num_members = _multiple(chunks[0], PIECE_BYTES // (sample_bytes * num_times))
    for first in range(0, num_trajectories, num_members):
        members = range(first, min(first + num_members, num_trajectories))
        for start in range(0, num_samples, num_times):
            yield members, range(start, min(start + num_times, num_samples))


def _read(dataset: Dataset, members: range, times: range) -> np.ndarray:
    """Return a piece, ``(trajectory, time, component)``, which may reach over several parts."""
    shape = (len(members), len(times), dataset.num_components)
    samples = np.empty(shape, dataset.dtype)
    for extent in dataset.extents:
        begin, end = max(members.start, extent.first), min(members.stop, extent.members.stop)
        if begin < end:
            with extent.open() as read:
                for member in range(begin, end):
                    samples[member - members.start] = read(member, times.start, times.stop)
    return samples


def _multiple(unit: int, most: int) -> int:
    """Return the largest multiple of ``unit`` up to ``most``, at least one."""
    return max(1, most // unit) * unit
