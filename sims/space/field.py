"""One large Kuramoto–Sivashinsky field over MPI ranks, stepped in Fourier space."""

import time

import numpy as np

from hpcbench.parallel.ranks import Ranks
from sims.kernels.exponential import etdrk4_weights
from sims.space.four_step import FourStep
from sims.systems.flows.kuramoto_sivashinsky import KuramotoSivashinsky


class Field:
    """u_t = −u u_x − u_xx − u_xxxx, one field over all ranks, by ETDRK4.

    A stage of a step is one pass over rows of the spectrum (transform, update, transform back), one
    over columns of the field (transform back, square, transform), and two exchanges.

    system
        N, L; the scheme must be ``etdrk4``.
    step
        h in model time units.

    References: `sims.schemes.etdrk4.ETDRK4`; `FourStep`.
    """

    compiled = False

    def __init__(self, system: KuramotoSivashinsky, step: float, ranks: Ranks) -> None:
        self.fourier = FourStep(system.num_components, ranks)
        modes = self.fourier.modes
        q = 2 * np.pi * modes / system.parameters.domain_length
        weights = etdrk4_weights((step * (q**2 - q**4)).reshape(-1))
        self.weights = {name: value.reshape(q.shape) for name, value in weights.items()}
        q[2 * np.abs(modes) == system.num_components] = 0  # no first derivative on the grid
        self.slope = -0.5j * step * q
        self.exchange_seconds = 0.0
        self.v, self.a, self.slope_v, self.next_v = np.empty((4, *q.shape), complex)

    @property
    def shares(self) -> list[int]:
        """Points of every rank."""
        return [len(columns) * self.fourier.first for columns in self.fourier.columns]

    def arrange(self, state: np.ndarray) -> np.ndarray:
        """Return a whole field in the order in which ranks share it."""
        return np.ascontiguousarray(
            state.reshape(self.fourier.first, self.fourier.second).T
        ).ravel()

    def restore(self, arranged: np.ndarray) -> np.ndarray:
        """Return a whole field in the order of its points."""
        return arranged.reshape(self.fourier.second, self.fourier.first).T.ravel()

    def load(self, values: np.ndarray) -> None:
        """Set this rank's share of the field."""
        field = values.reshape(-1, self.fourier.first)
        self.fourier.over_columns(lambda block, _: field[block])
        self.fourier.to_rows()
        self.fourier.over_rows(self._keep)
        self.fourier.to_columns()

    def values(self) -> np.ndarray:
        """Return this rank's share of the field."""
        values = np.empty((len(self.fourier.own_columns), self.fourier.first))

        def take(block: slice, field: np.ndarray) -> None:
            values[block] = field

        self.fourier.over_columns(take)
        return values.ravel()

    def advance(self, num_steps: int) -> None:
        """Take some steps; called by every rank."""
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(num_steps):
                for stage in (self._first, self._second, self._third, self._fourth):
                    self.fourier.over_columns(lambda _, field: np.square(field))
                    begin = time.perf_counter()
                    self.fourier.to_rows()
                    self.exchange_seconds += time.perf_counter() - begin
                    self.fourier.over_rows(stage)
                    begin = time.perf_counter()
                    self.fourier.to_columns()
                    self.exchange_seconds += time.perf_counter() - begin

    def _keep(self, block: slice, spectrum: np.ndarray) -> np.ndarray:
        self.v[block] = spectrum
        return spectrum

    def _first(self, block: slice, square: np.ndarray) -> np.ndarray:
        w, v = self._weights(block), self.v[block]
        slope = self.slope_v[block]
        np.multiply(self.slope[block], square, out=slope)
        np.multiply(w["full"], v, out=self.next_v[block])
        self.next_v[block] += w["alpha"] * slope
        np.multiply(w["half"], v, out=self.a[block])
        self.a[block] += w["q"] * slope
        return self.a[block]

    def _second(self, block: slice, square: np.ndarray) -> np.ndarray:
        w, slope = self._weights(block), self._slope(block, square)
        self.next_v[block] += w["beta"] * (2 * slope)
        slope *= w["q"]
        slope += w["half"] * self.v[block]
        return slope

    def _third(self, block: slice, square: np.ndarray) -> np.ndarray:
        w, slope = self._weights(block), self._slope(block, square)
        slope *= 2
        self.next_v[block] += w["beta"] * slope
        slope -= self.slope_v[block]
        slope *= w["q"]
        slope += w["half"] * self.a[block]
        return slope

    def _fourth(self, block: slice, square: np.ndarray) -> np.ndarray:
        v = self.v[block]
        np.multiply(self._weights(block)["gamma"], self._slope(block, square), out=v)
        v += self.next_v[block]
        self._make_real(block)
        return v

    def _weights(self, block: slice) -> dict[str, np.ndarray]:
        return {name: values[block] for name, values in self.weights.items()}

    def _slope(self, block: slice, square: np.ndarray) -> np.ndarray:
        return np.multiply(self.slope[block], square, out=square)

    def _make_real(self, block: slice) -> None:
        """Make û_{−k} the conjugate of û_k where both are kept: k₁ = 0 and k₁ = N₁/2.

        Rounding breaks this, the field does not feel it, and so unstable waves would let it grow.
        """
        for k1, shift in ((0, 1), (self.fourier.num_modes - 1, 0)):
            place = k1 - self.fourier.own_rows.start
            if block.start <= place < block.stop:
                row = self.v[place]
                row += np.roll(row[::-1], shift).conj()
                row *= 0.5
