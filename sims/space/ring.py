"""One large Lorenz-96 ring over MPI ranks."""

import time

import numpy as np

from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks, share
from sims.kernels import HALO_LEFT, HALO_RIGHT, ring_advance
from sims.schemes.rk4 import rk4_step
from sims.systems.flows.lorenz96 import Lorenz96

STEPS_PER_EXCHANGE = 16
"""More steps between two exchanges mean fewer messages and fewer passes over memory, and more sites
computed twice; 16 was best from 10⁵ to 10⁷ sites per rank."""


class Ring:
    """dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F, with i modulo N, in one piece per rank.

    A step reaches from site i to i − 8 and i + 4. Each rank keeps its own sites between 8 s sites
    of its left and 4 s of its right neighbour, fetches these anew, and takes s steps without
    talking to anyone. What a site becomes does not depend, to the last bit, on where the ring was
    cut.

    system
        N, F, and whether the compiled kernel is used.
    step
        h in model time units.
    ranks
        Any number that leaves 8 sites to each, and one rank for any N.

    Raises :class:`InputError` for more ranks than that.
    """

    def __init__(
        self,
        system: Lorenz96,
        step: float,
        ranks: Ranks,
        steps_per_exchange: int = STEPS_PER_EXCHANGE,
    ) -> None:
        self.system, self.step, self.ranks = system, step, ranks
        num_sites = system.num_components
        fewest = num_sites // ranks.size
        if ranks.size > 1 and fewest < HALO_LEFT:
            raise InputError(
                f"parameters.num_sites: {num_sites} sites are too few for {ranks.size} ranks, each "
                f"of which needs {HALO_LEFT}; give at least {HALO_LEFT * ranks.size} sites, or "
                f"start at most {max(num_sites // HALO_LEFT, 1)} ranks"
            )
        self.compiled = system.compiled
        self.exchange_seconds = 0.0
        self.most_steps = steps_per_exchange
        if ranks.size > 1:
            self.most_steps = min(steps_per_exchange, fewest // HALO_LEFT)
        self.own = share(num_sites, ranks.rank, ranks.size)
        # room for the largest halos; fewer steps use its inner part
        self._first = HALO_LEFT * self.most_steps
        self._room = np.empty(self._first + len(self.own) + HALO_RIGHT * self.most_steps)

    @property
    def shares(self) -> list[int]:
        """Sites of every rank."""
        size, num_sites = self.ranks.size, self.system.num_components
        return [len(share(num_sites, rank, size)) for rank in range(size)]

    def arrange(self, state: np.ndarray) -> np.ndarray:
        """Return a whole ring in the order in which ranks share it: its own."""
        return state

    def restore(self, arranged: np.ndarray) -> np.ndarray:
        """Return a whole ring in the order of its sites."""
        return arranged

    def load(self, values: np.ndarray) -> None:
        """Set the sites of this rank."""
        self.sites[...] = values

    def values(self) -> np.ndarray:
        """Return the sites of this rank."""
        return self.sites.copy()

    @property
    def sites(self) -> np.ndarray:
        """The sites of this rank, to read and to set."""
        return self._room[self._first : self._first + len(self.own)]

    def advance(self, num_steps: int) -> None:
        """Take some steps; called by every rank."""
        while num_steps > 0:
            count = min(num_steps, self.most_steps)
            first, last = self._first, self._first + len(self.own)
            piece = self._room[first - HALO_LEFT * count : last + HALO_RIGHT * count]
            begin = time.perf_counter()
            self._exchange(piece, HALO_LEFT * count, HALO_RIGHT * count)
            self.exchange_seconds += time.perf_counter() - begin
            self._advance_piece(piece, count)
            num_steps -= count

    def _exchange(self, piece: np.ndarray, left: int, right: int) -> None:
        own = piece[left : len(piece) - right]
        if self.ranks.size == 1:
            # a small ring may fit several times into its own halo
            piece[:left] = own.take(np.arange(-left, 0), mode="wrap")
            piece[len(piece) - right :] = own.take(np.arange(right), mode="wrap")
            return
        comm, rank, size = self.ranks.comm, self.ranks.rank, self.ranks.size
        after, before = (rank + 1) % size, (rank - 1) % size
        comm.Sendrecv(own[-left:], after, 0, piece[:left], before, 0)
        comm.Sendrecv(own[:right], before, 1, piece[len(piece) - right :], after, 1)

    def _advance_piece(self, piece: np.ndarray, num_steps: int) -> None:
        if self.compiled:
            ring_advance(piece, self.system.parameters.forcing, self.step, num_steps)
            return
        x = piece
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(num_steps):
                # closed to a ring, which spoils what the halos are there to lose
                x = rk4_step(self.system.rhs, x, self.step)
        self.sites[...] = x[HALO_LEFT * num_steps : len(x) - HALO_RIGHT * num_steps]
