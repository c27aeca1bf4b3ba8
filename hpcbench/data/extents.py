"""Where the trajectories of a dataset lie, and reading them without mapping them into memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcbench.data.compression import describe, filter_numbers, require_filter
from hpcbench.data.format import (
    DAMAGE,
    PART_FORMAT,
    Header,
    check_format,
    open_hdf5,
    read_hdf5,
)
from hpcbench.errors import InputError

Read = Callable[[int, int, int], np.ndarray]
"""``(trajectory, first, end) -> samples``: ``first ... end - 1``, ``(time, component)``."""


@dataclass(frozen=True)
class Extent:
    """A run of whole trajectories in one file.

    first
        The first of them.
    shape, dtype
        ``(trajectory, time, component)`` and precision.
    path, offset
        The file, and the byte where the first of them starts; None where they do not lie
        contiguously but in chunks, which HDF5 has to find and unpack.
    compression
        The filters that the chunks passed, or ``none``.
    """

    first: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    path: Path
    offset: int | None
    compression: str

    @property
    def count(self) -> int:
        """Number of trajectories."""
        return self.shape[0]

    @property
    def members(self) -> range:
        """Their indices in the dataset."""
        return range(self.first, self.first + self.count)

    def map(self) -> np.ndarray:
        """Return the contiguous trajectories as a read-only map into the file."""
        assert self.offset is not None
        return np.asarray(np.memmap(self.path, self.dtype, "r", self.offset, self.shape))

    @contextmanager
    def open(self) -> Iterator[Read]:
        """Open the file and lend a function that reads samples.

        It raises :class:`InputError` where they are missing or cannot be unpacked.
        """
        if self.offset is None:
            with open_hdf5(self.path) as file:
                state = file["state"]
                yield lambda member, first, end: self._unpack(state, member, first, end)
        else:
            offset = self.offset
            with self.path.open("rb") as plain:
                yield lambda member, first, end: self._load(plain, offset, member, first, end)

    def _load(self, file: Any, offset: int, member: int, first: int, end: int) -> np.ndarray:
        _, num_samples, num_components = self.shape
        samples = np.empty((end - first, num_components), self.dtype)
        sample = (member - self.first) * num_samples + first
        file.seek(offset + sample * num_components * self.dtype.itemsize)
        if file.readinto(samples.data) < samples.nbytes:
            raise InputError(f"{self.path}: is truncated; copy or generate it again")
        return samples

    def _unpack(self, state: h5py.Dataset, member: int, first: int, end: int) -> np.ndarray:
        try:
            return state[member - self.first, first:end]
        except DAMAGE:
            raise InputError(
                f"{self.path}: samples {first} to {end - 1} of trajectory {member} cannot be "
                "unpacked: their chunk is damaged; copy or convert it again"
            ) from None


def read_extents(file: h5py.File, path: Path, header: Header) -> list[Extent]:
    """Return where the trajectories of an open dataset lie, in order.

    Raises :class:`InputError` naming a part that is missing, truncated or of another dataset.
    """
    state = file["state"]
    if not state.is_virtual:
        return [_extent(state, path, 0, header)]
    extents = []
    for source in state.virtual_sources():
        first = int(source.vspace.get_select_bounds()[0][0])
        count = int(source.vspace.get_select_bounds()[1][0]) - first + 1
        place = path.parent / source.file_name
        if not place.exists():
            raise InputError(
                f"{path}: its part {place} is missing; keep the folder "
                f"{place.parent.name} beside {path.name} when moving a dataset"
            )

        def look(part: h5py.File, place: Path = place, first: int = first) -> Extent:
            check_format(part, place, PART_FORMAT)
            if part.attrs["content_hash"] != header.content_hash():
                raise InputError(f"{place}: is a part of another dataset than {path}")
            return _extent(part["state"], place, first, header)

        extent = read_hdf5(place, look)
        if extent.count != count:
            raise InputError(f"{place}: holds {extent.count} trajectories; {path} needs {count}")
        extents.append(extent)
    extents.sort(key=lambda extent: extent.first)
    covered = [m for extent in extents for m in (extent.first, extent.first + extent.count)]
    if covered[::2] != [0, *covered[1:-1:2]] or covered[-1] != header.num_trajectories:
        raise InputError(f"{path}: its parts do not cover every trajectory once")
    return extents


def _extent(state: h5py.Dataset, path: Path, first: int, header: Header) -> Extent:
    dtype = np.dtype(header.dtype)
    if state.shape[1:] != header.shape[1:] or state.dtype != dtype:
        raise InputError(
            f"{path}: /state is {state.dtype} {state.shape}; "
            f"its dataset is {header.dtype} (trajectory, {header.shape[1]}, {header.shape[2]})"
        )
    if state.chunks is not None:
        for number in filter_numbers(state):
            require_filter(number, path)
        return Extent(first, state.shape, dtype, path, None, describe(state))
    offset = state.id.get_offset()
    if offset is None:
        raise InputError(f"{path}: /state is not stored contiguously; generate it again")
    missing = offset + state.nbytes - path.stat().st_size
    if missing > 0:
        raise InputError(f"{path}: is truncated: {missing} bytes of /state are missing")
    return Extent(first, state.shape, dtype, path, offset, "none")
