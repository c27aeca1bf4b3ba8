"""One large Kuramoto–Sivashinsky field over MPI ranks, by the compiled four-step transform."""

import time
from collections.abc import Callable

import numpy as np

from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks
from sims.kernels.four_step import TILE, Columns, Rows, split_size
from sims.space.exchange import Tiling, exchange
from sims.systems.flows.kuramoto_sivashinsky import KuramotoSivashinsky


def most_ranks(num_points: int) -> int:
    """Return how many ranks can share a field of this size."""
    first, second = split_size(num_points)
    return min(first // 2 // TILE + 1, second // TILE)


class TiledField:
    """u_t = −u u_x − u_xx − u_xxxx, one field over all ranks, by ETDRK4.

    What `sims.space.field.Field` does, for powers of two.

    system
        N, L; the scheme must be ``etdrk4``.
    step
        h in model time units.

    Raises :class:`InputError` for more ranks than there are tiles in a row or column.

    References: `sims.schemes.etdrk4.ETDRK4`; `sims.space.four_step.FourStep`.
    """

    compiled = True

    def __init__(self, system: KuramotoSivashinsky, step: float, ranks: Ranks) -> None:
        num_points = system.num_components
        if ranks.size > most_ranks(num_points):
            raise InputError(_too_many(num_points, ranks.size))
        self.sizes = split_size(num_points)
        first, second = self.sizes
        self.tiling = Tiling(first // 2 // TILE + 1, second // TILE, ranks)
        self.exchange = exchange(self.tiling)
        self.columns = Columns(self.sizes, self.tiling.own_columns, *self.exchange.by_column)
        length = system.parameters.domain_length
        self.rows = Rows(self.sizes, self.tiling.own_rows, self.exchange.by_row, length, step)
        self.exchange_seconds = 0.0

    @property
    def shares(self) -> list[int]:
        """Points of every rank."""
        return [len(columns) * TILE * self.sizes[0] for columns in self.tiling.columns]

    def arrange(self, state: np.ndarray) -> np.ndarray:
        """Return a whole field in the order in which ranks share it, ``(n₁, own n₂)`` each."""
        grid = state.reshape(self.sizes)
        return np.concatenate([grid[:, c].ravel() for c in self._slices()])

    def restore(self, arranged: np.ndarray) -> np.ndarray:
        """Return a whole field in the order of its points."""
        grid, begin = np.empty(self.sizes), 0
        for columns, count in zip(self._slices(), self.shares, strict=True):
            grid[:, columns] = arranged[begin : begin + count].reshape(self.sizes[0], -1)
            begin += count
        return grid.ravel()

    def load(self, values: np.ndarray) -> None:
        """Set this rank's share of the field."""
        self.columns.take(values.reshape(self.sizes[0], -1))
        self._exchanged(self.exchange.to_rows)
        self.rows.take()
        self._exchanged(self.exchange.to_columns)

    def values(self) -> np.ndarray:
        """Return this rank's share of the field."""
        return self.columns.give().ravel()

    def advance(self, num_steps: int) -> None:
        """Take some steps; called by every rank."""
        for _ in range(num_steps):
            for stage in range(4):
                self.columns.square()
                self._exchanged(self.exchange.to_rows)
                self.rows.stage(stage)
                self._exchanged(self.exchange.to_columns)

    def _slices(self) -> list[slice]:
        return [slice(TILE * c.start, TILE * c.stop) for c in self.tiling.columns]

    def _exchanged(self, exchange: Callable[[], None]) -> None:
        begin = time.perf_counter()
        exchange()
        self.exchange_seconds += time.perf_counter() - begin


def _too_many(num_points: int, size: int) -> str:
    larger = num_points
    while most_ranks(larger) < size:
        larger *= 2
    return (
        f"parameters.num_points: {num_points} points are too few for {size} ranks, each of which "
        f"needs {TILE} rows and columns of the {' × '.join(map(str, split_size(num_points)))} "
        f"transform; give {larger} points, start at most {most_ranks(num_points)} ranks, or set "
        'integration.kernel = "reference", which needs 2 rows and columns'
    )
