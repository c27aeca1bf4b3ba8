"""The Fourier transform of one large real field over MPI ranks, in four steps."""

import math
from collections.abc import Callable

import numpy as np
import scipy.fft

from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks, share

BLOCK_BYTES = 1 << 18
"""Rows are taken in blocks of this size, on which everything is done while the cache has them."""

GROUP = 2
"""Rows are given to ranks in groups of this size, in which the library transforms them at once:
what a row becomes, to the last bit, could depend on its place in the group."""


def factors(num_points: int) -> tuple[int, int] | None:
    """Return N₁ N₂ = N with N₁ even and both as close to √N as they can be, None if N is odd."""
    if num_points % 2:
        return None
    near = math.isqrt(num_points)
    options = [2 * n for n in range(1, num_points // 2 + 1) if num_points % (2 * n) == 0]
    first = min(options, key=lambda n: abs(math.log(n / near)))
    return first, num_points // first


def most_ranks(num_points: int) -> int:
    """Return how many ranks can share a transform of this size."""
    sizes = factors(num_points)
    if sizes is None:
        return 0
    return min(sizes[0] // 2 + 1, sizes[1]) // GROUP


class FourStep:
    """û_k = Σ_n u_n e^{−2πi k n / N} of a real field, spread over ranks.

    With n = N₂ n₁ + n₂ and k = k₁ + N₁ k₂,

        û_k = Σ_{n₂} e^{−2πi n₂ k₂ / N₂} e^{−2πi n₂ k₁ / N} Σ_{n₁} e^{−2πi n₁ k₁ / N₁} u_n

    The inner sums are real transforms, so only k₁ = 0 … N₁/2 are kept. Between inner and outer
    sums, each rank sends its part to every other: one Alltoall per transform. The spectrum stays as
    it comes, ``(k₁, k₂)`` with a share of k₁ on each rank; the field is ``(n₂, n₁)`` with a share
    of n₂.

    Raises :class:`InputError` when N is odd or has no factors large enough for the ranks.

    Reference: D. H. Bailey, J. Supercomput. 4, 23 (1990), doi:10.1007/BF00162341.
    """

    def __init__(self, num_points: int, ranks: Ranks) -> None:
        if ranks.size > most_ranks(num_points):
            raise InputError(_too_many(num_points, ranks.size))
        sizes = factors(num_points)
        assert sizes is not None
        self.first, self.second = sizes
        self.num_modes = self.first // 2 + 1
        self.ranks = ranks
        self.rows = [_grouped(self.num_modes, r, ranks.size) for r in range(ranks.size)]
        self.columns = [_grouped(self.second, r, ranks.size) for r in range(ranks.size)]
        self.own_rows, self.own_columns = self.rows[ranks.rank], self.columns[ranks.rank]
        k1, n2 = np.arange(self.num_modes), np.array(self.own_columns)
        self.twiddles = np.exp(-2j * np.pi / num_points * np.outer(n2, k1))
        self.inverse_twiddles = self.twiddles.conj()
        # by columns, rows of all ranks below each other; by rows, columns of all ranks in turn
        self._by_column = np.zeros((self.num_modes, len(n2)), complex)
        self._by_row = np.empty(len(self.own_rows) * self.second, complex)
        if ranks.size == 1:  # the two are the same
            self._by_row = self._by_column.reshape(-1)

    @property
    def modes(self) -> np.ndarray:
        """k of this rank's part of the spectrum, between −N/2 and N/2, ``(k₁, k₂)``."""
        k = np.array(self.own_rows)[:, None] + self.first * np.arange(self.second)
        return np.where(2 * k > self.first * self.second, k - self.first * self.second, k)

    def over_columns(self, field: Callable[[slice, np.ndarray], np.ndarray | None]) -> None:
        """Replace what is held by columns, block by block.

        field
            Called with the place of some of the own n₂ and the field there, ``(n₂, n₁)``, returns
            the field to be transformed; where it returns None, nothing is.
        """
        for block in _blocks(len(self.own_columns), 16 * self.num_modes):
            held = self._by_column[:, block].T * self.inverse_twiddles[block]
            given = field(block, scipy.fft.irfft(held, self.first, overwrite_x=True))
            if given is not None:
                inner = scipy.fft.rfft(given)
                inner *= self.twiddles[block]
                self._by_column[:, block] = inner.T

    def over_rows(self, spectrum: Callable[[slice, np.ndarray], np.ndarray]) -> None:
        """Replace what is held by rows, block by block.

        spectrum
            Called with the place of some of the own k₁ and the spectrum there, ``(k₁, k₂)``;
            returns the spectrum to be transformed back.
        """
        parts = self._row_parts()
        for block in _blocks(len(self.own_rows), 16 * self.second):
            held = parts[0][block]
            if len(parts) > 1:
                held = np.concatenate([part[block] for part in parts], axis=1)
            # into an array of its own, because the caller keeps the spectrum
            back = scipy.fft.ifft(spectrum(block, scipy.fft.fft(held, overwrite_x=True)))
            for part, columns in zip(parts, self.columns, strict=True):
                part[block] = back[:, columns.start : columns.stop]

    def to_rows(self) -> None:
        """Send what is held by columns to the ranks that hold its rows."""
        self._send(self._by_column, self._by_row, self.rows, len(self.own_columns), forward=True)

    def to_columns(self) -> None:
        """Send what is held by rows to the ranks that hold its columns."""
        self._send(self._by_row, self._by_column, self.rows, len(self.own_columns), forward=False)

    def _row_parts(self) -> list[np.ndarray]:
        number, parts = len(self.own_rows), []
        for columns in self.columns:
            values = self._by_row[number * columns.start : number * columns.stop]
            parts.append(values.reshape(number, len(columns)))
        return parts

    def _send(
        self,
        held: np.ndarray,
        wanted: np.ndarray,
        rows: list[range],
        num_columns: int,
        forward: bool,
    ) -> None:
        if self.ranks.size == 1:
            return
        from mpi4py import MPI

        by_column = [len(r) * num_columns for r in rows]
        by_row = [len(self.own_rows) * len(c) for c in self.columns]
        sent, received = (by_column, by_row) if forward else (by_row, by_column)
        complex_number = MPI.C_DOUBLE_COMPLEX
        self.ranks.comm.Alltoallv([held, sent, complex_number], [wanted, received, complex_number])


def _grouped(count: int, rank: int, size: int) -> range:
    groups = share(-(-count // GROUP), rank, size)
    return range(min(groups.start * GROUP, count), min(groups.stop * GROUP, count))


def _blocks(count: int, row_bytes: int) -> list[slice]:
    size = max(BLOCK_BYTES // row_bytes // GROUP, 1) * GROUP
    return [slice(n, min(n + size, count)) for n in range(0, count, size)]


def _too_many(num_points: int, size: int) -> str:
    near = [n for n in range(max(num_points // 2, 2), 2 * num_points + 64) if most_ranks(n) >= size]
    nearest = sorted(sorted(near, key=lambda n: abs(n - num_points))[:2])
    sizes = factors(num_points)
    reason = "is odd" if sizes is None else f"is {sizes[0]} × {sizes[1]} at best"
    return (
        f"parameters.num_points: {num_points} {reason}, too uneven for {size} ranks: every rank "
        f"needs {GROUP} rows of both factors; sizes that work: {' or '.join(map(str, nearest))}"
    )
