"""Tiles that one rank works on by columns and another by rows."""

import contextlib
import mmap
import os
from itertools import pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Protocol

import numpy as np

from hpcbench.parallel.ranks import Ranks, share
from sims.kernels.four_step import TILE_BYTES, TILE_NUMBERS, aligned

SHARED_FOLDER = Path("/dev/shm")
"""Files here are memory, which processes of one node can share."""

Addresses = np.ndarray[Any, np.dtype[np.intp]]


class Tiling:
    """Which tiles of a matrix fall to which rank, and their order in a rank's memory.

    A rank holds the columns that it works on in chunks, one for each rank that works on their
    rows. In a chunk, columns of tiles follow each other, at an odd distance to spare the cache.

    num_rows, num_columns
        Of the matrix, counted in tiles.
    """

    def __init__(self, num_rows: int, num_columns: int, ranks: Ranks) -> None:
        self.ranks = ranks
        self.rows = [share(num_rows, rank, ranks.size) for rank in range(ranks.size)]
        self.columns = [share(num_columns, rank, ranks.size) for rank in range(ranks.size)]
        self.own_rows, self.own_columns = self.rows[ranks.rank], self.columns[ranks.rank]
        self.distances = [len(rows) | 1 for rows in self.rows]

    def chunk_tiles(self, column_rank: int, row_rank: int) -> int:
        """Return the size of a chunk, counted in tiles."""
        return len(self.columns[column_rank]) * self.distances[row_rank]

    def column_tiles(self, memory: int) -> tuple[Addresses, Addresses]:
        """Return, for every row, the address of a tile and the distance to the next column's.

        The tile is that in the first own column, the distance is counted in numbers.

        memory
            Address of the own chunks.
        """
        addresses, distances = [], []
        for rank, rows in enumerate(self.rows):
            addresses += [memory + n * TILE_BYTES for n in range(len(rows))]
            distances += [self.distances[rank] * TILE_NUMBERS] * len(rows)
            memory += self.chunk_tiles(self.ranks.rank, rank) * TILE_BYTES
        return np.array(addresses, np.intp), np.array(distances, np.intp)

    def row_tiles(self, chunks: list[int]) -> Addresses:
        """Return, for every column, the address of its tile in the first own row.

        chunks
            Address of the chunk of own rows from every rank.
        """
        distance = self.distances[self.ranks.rank] * TILE_BYTES
        return np.array(
            [
                memory + n * distance
                for memory, columns in zip(chunks, self.columns, strict=True)
                for n in range(len(columns))
            ],
            np.intp,
        )


class Exchange(Protocol):
    """The memory of a tiling, and what happens between the work on columns and on rows.

    Attributes
    ----------
    by_column
        As :meth:`Tiling.column_tiles` returns it.
    by_row
        As :meth:`Tiling.row_tiles` returns it.
    """

    by_column: tuple[Addresses, Addresses]
    by_row: Addresses

    def to_rows(self) -> None:
        """Let every rank go on with rows; called when its columns are ready."""

    def to_columns(self) -> None:
        """Let every rank go on with columns; called when its rows are ready."""


class OneRank:
    """Everything is with the one rank."""

    def __init__(self, tiling: Tiling) -> None:
        self._memory = aligned(tiling.chunk_tiles(0, 0) * TILE_NUMBERS)
        self.by_column = tiling.column_tiles(self._memory.ctypes.data)
        self.by_row = tiling.row_tiles([self._memory.ctypes.data])

    def to_rows(self) -> None:
        """Do nothing: they are there."""

    def to_columns(self) -> None:
        """Do nothing: they are there."""


class CommonMemory:
    """All ranks reach into the same memory: nothing is copied, but they wait for each other.

    memory
        Mapped by all ranks, as many bytes as all chunks together.
    """

    def __init__(self, tiling: Tiling, memory: mmap.mmap) -> None:
        size, rank = tiling.ranks.size, tiling.ranks.rank
        self._comm = tiling.ranks.comm
        self._memory = np.frombuffer(memory, np.uint8)
        begin = [self._memory.ctypes.data + span.start for span in _spans(tiling)]
        self.by_column = tiling.column_tiles(begin[rank])
        for other in range(size):
            begin[other] += TILE_BYTES * sum(tiling.chunk_tiles(other, r) for r in range(rank))
        self.by_row = tiling.row_tiles(begin)

    def to_rows(self) -> None:
        """Wait until the columns of all ranks are ready."""
        self._comm.Barrier()

    def to_columns(self) -> None:
        """Wait until the rows of all ranks are ready."""
        self._comm.Barrier()


class Messages:
    """Chunks go from rank to rank: one Alltoallv each way."""

    def __init__(self, tiling: Tiling) -> None:
        size, rank = tiling.ranks.size, tiling.ranks.rank
        self._comm = tiling.ranks.comm
        columns = [tiling.chunk_tiles(rank, other) * TILE_NUMBERS for other in range(size)]
        rows = [tiling.chunk_tiles(other, rank) * TILE_NUMBERS for other in range(size)]
        by_column, by_row = aligned(sum(columns)), aligned(sum(rows))
        self._columns, self._rows = [by_column, columns], [by_row, rows]
        self.by_column, begin = tiling.column_tiles(by_column.ctypes.data), by_row.ctypes.data
        self.by_row = tiling.row_tiles([begin + 8 * sum(rows[:other]) for other in range(size)])

    def to_rows(self) -> None:
        """Send columns to the ranks that hold their rows."""
        self._comm.Alltoallv(self._columns, self._rows)

    def to_columns(self) -> None:
        """Send rows to the ranks that hold their columns."""
        self._comm.Alltoallv(self._rows, self._columns)


def exchange(tiling: Tiling) -> Exchange:
    """Return the fastest way from columns to rows and back for these ranks."""
    if tiling.ranks.size == 1:
        return OneRank(tiling)
    memory = _common_memory(tiling)
    return Messages(tiling) if memory is None else CommonMemory(tiling, memory)


def _spans(tiling: Tiling) -> list[range]:
    """Return the bytes of every rank's chunks in the common memory."""
    size = tiling.ranks.size
    ends = [0]
    for rank in range(size):
        tiles = sum(tiling.chunk_tiles(rank, other) for other in range(size))
        ends.append(ends[-1] + tiles * TILE_BYTES)
    return [range(begin, end) for begin, end in pairwise(ends)]


def _common_memory(tiling: Tiling) -> mmap.mmap | None:
    """Return memory that all ranks map, None where they are on several nodes or have no room."""
    ranks, spans = tiling.ranks, _spans(tiling)
    with contextlib.ExitStack() as stack:
        name = ""
        if ranks.is_first:
            with contextlib.suppress(OSError):
                # its name is gone again when all have opened it
                new = stack.enter_context(NamedTemporaryFile(dir=SHARED_FOLDER, prefix="hpcbench-"))
                name = new.name
        file = _open(ranks.gather(name)[0], spans[ranks.rank])
        everywhere = all(ranks.gather(file is not None))
        if file is None:
            return None
        with file:
            return mmap.mmap(file.fileno(), spans[-1].stop) if everywhere else None


def _open(name: str, own: range) -> IO[bytes] | None:
    """Open a file and take the memory of a part, near to this rank, None if either fails."""
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        file = stack.enter_context(Path(name).open("r+b"))
        os.posix_fallocate(file.fileno(), own.start, len(own))
        stack.pop_all()
        return file
    return None
