"""Writing the states of a dataset block by block, so that a killed writer can be continued.

A *store* is one file with states in it: a whole dataset, or one part of one. Its trajectories
advance in *blocks* of samples. For each block a store takes, in this order,

1. the samples and their checksums, of all its trajectories or of some at a time,
2. what is needed to go on (the states in float64 and the running sums), in one of two slots
   in turn, so that the slot of the last finished block stays intact,
3. after a flush to the disk, the number of finished blocks.

Every array was allocated contiguously when the file was made (:mod:`hpcbench.data.writer`), so
no HDF5 metadata changes on the way.
"""

import fcntl
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import h5py
import numpy as np
from zlib_ng import zlib_ng

from hpcbench.data.format import open_hdf5, read_hdf5
from hpcbench.errors import InputError

WRITTEN = ("state", "checksum", "final_state", "resume/state", "resume/sums", "resume/progress")
"""Arrays that are written block by block."""


@dataclass(frozen=True)
class ArrayPlace:
    """Where a contiguous array lies in its file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> Self:
        """Return the place of an HDF5 dataset."""
        return cls(dataset.id.get_offset(), dataset.shape, dataset.dtype)

    @property
    def stride(self) -> int:
        """Bytes between two elements of the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def position(self, place: tuple[int, ...]) -> int:
        """Return the byte at which the element with these leading indices starts."""
        element = 0
        for axis, length in enumerate(self.shape):
            element = element * length + (place[axis] if axis < len(place) else 0)
        return self.offset + element * self.dtype.itemsize


def open_locked(path: Path) -> int:
    """Return a descriptor of a file that HDF5 programs now see as being written.

    HDF5 takes the same lock when it opens a file.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"{path}: another process has this file open; wait for it") from None
    except OSError:  # a file system without locks; the lock on the dataset's name has to do
        pass
    return descriptor


class Store:
    """A file open for writing blocks: a whole dataset or one part of it.

    The arrays lie where the file was made with them, so their bytes are written in place,
    past the HDF5 library: it is as fast as the disk, and a full disk is an ordinary error
    (which HDF5 2.0 does not survive).

    path
        The file.
    members
        The trajectories of the dataset that the store holds.

    Raises :class:`InputError` when another process has the file open.
    """

    threads: ClassVar[bool] = True
    """Whether another thread may write, at any time and some trajectories after others."""

    def __init__(self, path: Path, members: range) -> None:
        self.path, self.members = path, members
        self._open()
        self.num_samples: int = self._arrays["state"].shape[1]
        self.num_blocks: int = self._arrays["checksum"].shape[0]
        self.length: int = -(-self.num_samples // self.num_blocks)
        self.progress = int(self._get("resume/progress", (), (1,))[0])

    def samples(self, block: int) -> range:
        """Return the samples of a block."""
        return range(block * self.length, min((block + 1) * self.length, self.num_samples))

    def resume(self, members: range) -> tuple[np.ndarray, np.ndarray]:
        """Return states and sums of some trajectories after the last finished block."""
        place = ((self.progress - 1) % 2, self._row(members))
        num_components = self._arrays["state"].shape[2]
        return (
            self._get("resume/state", place, (len(members), num_components)),
            self._get("resume/sums", place, (len(members), 2, num_components)),
        )

    def write_samples(
        self, block: int, members: range, samples: np.ndarray, checksums: np.ndarray
    ) -> None:
        """Store the samples of a block of some trajectories.

        samples
            ``(trajectory, time, component)`` in the precision of the file.
        checksums
            Their :func:`checksums`, ``(trajectory,)``.
        """
        row = self._row(members)
        self._put_samples(row, self.samples(block).start, samples)
        self._put("checksum", (block, row), checksums)

    def write_states(
        self, block: int, members: range, states: np.ndarray, sums: np.ndarray
    ) -> None:
        """Store what is needed to go on after a block, and bring all of it to the disk.

        states
            States after the block, ``(trajectory, component)``, float64.
        sums
            Sums of all samples so far and of their squares, ``(trajectory, 2, component)``.
        """
        row, slot = self._row(members), block % 2
        self._put("resume/state", (slot, row), states)
        self._put("resume/sums", (slot, row), sums)
        if block == self.num_blocks - 1:
            self._put("final_state", (row,), states)
        self._to_disk()

    def mark(self, block: int) -> None:
        """Declare a block finished, once all trajectories of the store are written."""
        self.progress = block + 1
        self._put("resume/progress", (), np.array([self.progress]))
        self._to_disk()

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def _open(self) -> None:
        self.descriptor = open_locked(self.path)

        def look(file: h5py.File) -> dict[str, ArrayPlace]:
            return {name: ArrayPlace.of(file[name]) for name in WRITTEN}

        self._arrays = read_hdf5(self.path, look, locking=False)

    def _row(self, members: range) -> int:
        return members.start - self.members.start

    def _put_samples(self, row: int, time: int, samples: np.ndarray) -> None:
        array = self._arrays["state"]
        position = array.position((row, time))
        self._write_rows(np.asarray(samples, array.dtype), position, array.stride)

    def _put(self, name: str, place: tuple[int, ...], values: np.ndarray) -> None:
        """Write values that are contiguous in the file, from a place in an array on."""
        array = self._arrays[name]
        data = np.ascontiguousarray(values, dtype=array.dtype).data.cast("B")
        self._write(data, array.position(place))

    def _write_rows(self, rows: np.ndarray, position: int, stride: int) -> None:
        """Write ``(row, ...)``, each row contiguous, from a position on at equal distances."""
        for number, row in enumerate(rows):
            self._write(row.data.cast("B"), position + number * stride)

    def _write(self, data: memoryview, position: int) -> None:
        while data:
            written = os.pwrite(self.descriptor, data, position)
            data, position = data[written:], position + written

    def _get(self, name: str, place: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        array = self._arrays[name]
        num_bytes = int(np.prod(shape)) * array.dtype.itemsize
        data = os.pread(self.descriptor, num_bytes, array.position(place))
        return np.frombuffer(data, array.dtype).reshape(shape).copy()

    def _to_disk(self) -> None:
        os.fsync(self.descriptor)


class CollectiveStore(Store):
    """A whole dataset that all ranks of an MPI communicator write together, through HDF5."""

    threads = False

    def __init__(self, path: Path, members: range, comm: Any) -> None:
        self.comm = comm
        super().__init__(path, members)

    def mark(self, block: int) -> None:
        """Declare a block finished, on all ranks together.

        Nothing before this waits for other ranks, so that one that fails can say so.
        """
        self._file.flush()
        self.comm.barrier()
        super().mark(block)
        self._file.flush()

    def close(self) -> None:
        """Close the file, on all ranks together."""
        self._file.close()

    def _open(self) -> None:
        self._file = open_hdf5(self.path, "r+", driver="mpio", comm=self.comm)
        self._arrays = {name: ArrayPlace.of(self._file[name]) for name in WRITTEN}

    def _put_samples(self, row: int, time: int, samples: np.ndarray) -> None:
        num_rows, num_times, _ = samples.shape
        with self._file["state"].collective:
            self._file["state"][row : row + num_rows, time : time + num_times] = samples

    def _put(self, name: str, place: tuple[int, ...], values: np.ndarray) -> None:
        if not place:  # one value for all ranks
            if self.comm.rank == 0:
                self._file[name][...] = values
            return
        *outer, first = place
        self._file[name][(*outer, slice(first, first + len(values)))] = values

    def _get(self, name: str, place: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        if not place:
            return self._file[name][()]
        *outer, first = place
        return self._file[name][(*outer, slice(first, first + shape[0]))]

    def _to_disk(self) -> None:
        """Leave it to :meth:`mark`: flushing is collective."""


def checksums(samples: np.ndarray) -> np.ndarray:
    """Return the CRC-32 of the bytes of each trajectory of a block, ``(trajectory,)``."""
    return np.array([zlib_ng.crc32(trajectory.data) for trajectory in samples], np.uint32)


def add_sums(sums: np.ndarray, samples: np.ndarray) -> None:
    """Add the samples of a block and their squares to the running sums, in float64.

    sums
        ``(trajectory, 2, component)``, changed in place.
    samples
        ``(trajectory, time, component)``.
    """
    # trajectory by trajectory: the order of additions must not depend on how many there are
    for total, trajectory in zip(sums, samples, strict=True):
        total[0] += trajectory.sum(axis=0, dtype=np.float64)
        total[1] += np.square(trajectory, dtype=np.float64).sum(axis=0)
