"""Compiled passes over one large Kuramoto-Sivashinsky field, or over one rank's part of it."""

import math
from collections.abc import Iterator
from ctypes import POINTER, Structure, byref, c_double, c_int, c_long, c_void_p
from typing import Any

import numpy as np

from sims.kernels.exponential import etdrk4_weights
from sims.kernels.kuramoto_sivashinsky import digit_reversed_order, twiddles
from sims.kernels.library import function, load

TILE = 8
"""Rows and columns of a tile."""

TILE_NUMBERS = 2 * TILE * TILE
"""Of a tile, whose entries are complex."""

TILE_BYTES = 8 * TILE_NUMBERS

SMALLEST_NUM_POINTS = 512
"""Both factors need at least 16 points."""

MOST_LEVELS = 8
"""Passes within a transform that the kernel has room for: sizes beyond any memory."""

SQUARE, TAKE, GIVE = range(3)
"""What the pass over columns does, as the kernel numbers it."""

TAKE_ROWS, STAGES = 0, 1
"""What the pass over rows does; the stages follow each other."""

FLOAT64 = np.dtype(np.float64)


def aligned(*shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return an array of zeros that begins at a multiple of the widest vector and cache line."""
    count = math.prod(shape)
    room = np.zeros(count + 8)
    first = -room.ctypes.data % 64 // 8
    return room[first : first + count].reshape(shape)


def split_size(num_points: int) -> tuple[int, int]:
    """Return N₁ N₂ = N for a power of two, as near to each other as they can be."""
    second = 1 << (num_points.bit_length() - 1) // 2
    return num_points // second, second


class _Transform(Structure):
    _fields_ = (
        ("length", c_long),
        ("num_levels", c_long),
        ("radices", c_long * MOST_LEVELS),
        ("twiddles", c_void_p * MOST_LEVELS),
        ("joins", c_void_p),
        ("places", c_void_p),
    )


class _Columns(Structure):
    _fields_ = (
        ("transform", _Transform),
        ("num_points", c_long),
        ("halves", c_void_p),
        ("firsts", c_void_p),
        ("beside", c_void_p),
        ("highest", c_void_p),
        ("tiles", c_void_p),
        ("distances", c_void_p),
        ("num_tiles", c_long),
        ("scratch", c_void_p),
        ("rows", c_void_p),
    )


class _Rows(Structure):
    _fields_ = (
        ("transform", _Transform),
        ("tiles", c_void_p),
        ("num_tiles", c_long),
        ("v", c_void_p),
        ("w", c_void_p),
        ("half", c_void_p),
        ("q", c_void_p),
        ("beta", c_void_p),
        ("gamma", c_void_p),
        ("scale", c_double),
        ("scratch", c_void_p),
    )


class _Pass:
    """Arguments of a kernel, and the arrays whose addresses it holds."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray[Any, Any]] = []

    def keep(self, values: np.ndarray[Any, Any]) -> int:
        """Return the address of a copy of these values that stays where it is."""
        if values.dtype != FLOAT64:
            self._arrays.append(values.copy())
        else:
            self.room(*values.shape)[...] = values
        return self._arrays[-1].ctypes.data

    def room(self, *shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return zeros that stay where they are."""
        self._arrays.append(aligned(*shape))
        return self._arrays[-1]

    def transform(self, num_points: int) -> _Transform:
        """Return the tables of a transform."""
        length = num_points // TILE
        radices = _radices(length)
        unused = MOST_LEVELS - len(radices)
        passes = [self.keep(table) for table in twiddles(length, radices)]
        turns = np.outer(np.arange(length), np.arange(1, TILE)) / num_points
        return _Transform(
            length,
            len(radices),
            (c_long * MOST_LEVELS)(*radices, *[0] * unused),
            (c_void_p * MOST_LEVELS)(*passes, *[None] * unused),
            self.keep(_rotations(turns, -1)),
            self.keep(np.argsort(digit_reversed_order(radices))),
        )

    def scratch(self, num_points: int) -> int:
        """Return the address of room for one transform in every lane."""
        return self.room(TILE_NUMBERS * (num_points // TILE + 1)).ctypes.data


class Columns(_Pass):
    """The pass over a rank's columns: transforms of N₁ points, forward and backward.

    With n = N₂ n₁ + n₂ and modes k₁ = 0 … N₁/2, tiles hold

        e^{−2πi n₂ k₁ / N} Σ_{n₁} e^{−2πi n₁ k₁ / N₁} 2 u_n

    sizes
        N₁, N₂, powers of two from 32 and 16 on.
    own
        The own n₂, counted in tiles.
    tiles, distances
        For every `TILE` modes, the address of their tile in the first own columns, and how many
        numbers further that in the next own columns is. The memory is the caller's.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        own: range,
        tiles: np.ndarray[Any, np.dtype[np.intp]],
        distances: np.ndarray[Any, np.dtype[np.intp]],
    ) -> None:
        super().__init__()
        first, second = sizes
        num_points = first * second
        k1, beside = np.arange(first // 4 + 1), np.arange(TILE)
        n2 = TILE * np.array(own)
        self._shape = (first, TILE * len(own))
        self._arguments = _Columns(
            self.transform(first // 2),
            first,
            self.keep(_rotations(k1 / first, -1)),
            self.keep(_rotations(np.outer(n2, k1) / num_points, -1)),
            self.keep(_rotations(np.outer(k1, beside) / num_points, -2)),
            self.keep(_rotations((n2[:, None] + beside) / (2 * second), -2)),
            self.keep(tiles),
            self.keep(distances),
            len(own),
            self.scratch(first // 2),
            self.keep(np.zeros(len(tiles), np.intp)),
        )
        self._kernel = function("field_columns", FLOAT64)
        self._kernel.argtypes, self._kernel.restype = [POINTER(_Columns), c_int, c_void_p], None

    def square(self) -> None:
        """Replace the field by its square."""
        self._kernel(byref(self._arguments), SQUARE, None)

    def take(self, values: np.ndarray[Any, Any]) -> None:
        """Set the field, ``(n₁, own n₂)``."""
        assert values.shape == self._shape
        values = np.ascontiguousarray(values, FLOAT64)
        self._kernel(byref(self._arguments), TAKE, values.ctypes.data)

    def give(self) -> np.ndarray[Any, Any]:
        """Return the field, ``(n₁, own n₂)``."""
        values = np.empty(self._shape)
        self._kernel(byref(self._arguments), GIVE, values.ctypes.data)
        return values


class Rows(_Pass):
    """The pass over a rank's rows: transforms of N₂ points, and ETDRK4 on their modes.

    sizes
        N₁, N₂.
    own
        The own k₁, counted in tiles; those above N₁/2 are there to fill the last one.
    tiles
        For every `TILE` columns, the address of their tile in the first own rows; the others
        follow. The memory is the caller's.
    domain_length, step
        L and h.

    References: `exponential.etdrk4_weights`; the stages stand in four_step_rows.h.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        own: range,
        tiles: np.ndarray[Any, np.dtype[np.intp]],
        domain_length: float,
        step: float,
    ) -> None:
        super().__init__()
        first, second = sizes
        num_points, length, lanes = first * second, second // TILE, load().vector_bytes() // 8
        k1 = np.arange(TILE * own.start, TILE * own.stop).reshape(-1, 1, lanes)
        k2 = np.add.outer(np.arange(length), length * np.arange(TILE)).ravel()
        modes = k1 + first * k2[:, None]
        modes = np.where(2 * modes > num_points, modes - num_points, modes)
        q = 2 * np.pi * modes / domain_length
        weights = etdrk4_weights(step * (q**2 - q**4))
        # no first derivative of the highest wave, and nothing in the rows beyond
        q[(2 * np.abs(modes) == num_points) | (k1 > first // 2)] = 0
        # for 2 N u² and û / N: the tiles hold twice the field
        slope = -step * q / (4 * num_points)
        self._v = self.room(*q.shape[:2], 2, lanes)
        self._arguments = _Rows(
            self.transform(second),
            self.keep(tiles),
            len(own),
            self._v.ctypes.data,
            self.room(*self._v.shape).ctypes.data,
            self.keep(weights["half"]),
            *(self.keep(slope * weights[name]) for name in ("q", "beta", "gamma")),
            1 / (2 * num_points),
            self.scratch(second),
        )
        self._mirrors = list(self._find_mirrors(first, k1, k2))
        self._kernel = function("field_rows", FLOAT64)
        self._kernel.argtypes, self._kernel.restype = [POINTER(_Rows), c_int, c_int], None

    def take(self) -> None:
        """Make what the tiles hold the state."""
        self._kernel(byref(self._arguments), TAKE_ROWS, False)

    def stage(self, number: int) -> None:
        """Do one of the stages 0 … 3 of a step, for which tiles hold the squared field."""
        # to and fro: what one pass has left in the cache comes first in the next
        self._kernel(byref(self._arguments), STAGES + number, number % 2)
        if number == 3:
            self._make_real()

    def _find_mirrors(
        self, first: int, k1: np.ndarray[Any, Any], k2: np.ndarray[Any, Any]
    ) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Yield the own rows that hold both k and −k, with the place of −k at each."""
        place = np.argsort(k2)
        for row, mirror in ((0, -k2), (first // 2, -k2 - 1)):
            for block, _, lane in np.argwhere(k1 == row):
                yield self._v[block, :, :, lane], place[mirror % len(k2)]

    def _make_real(self) -> None:
        """Make û_{−k} the conjugate of û_k where both are kept: k₁ = 0 and k₁ = N₁/2.

        Rounding breaks this, the field does not feel it, and so unstable waves would let it grow.
        """
        for row, mirror in self._mirrors:
            row += row[mirror] * [1, -1]
            row *= 0.5


def _radices(length: int) -> list[int]:
    """Return the passes of a power of two: first what a power of 8 does not hold, then 8s."""
    bits = length.bit_length() - 1
    return [1 << bits % 3] * (bits % 3 > 0) + [8] * (bits // 3)


def _rotations(turns: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    """Return real and imaginary part of e^{−2πi turns}, beside each other along an axis."""
    return np.stack([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)], axis)
