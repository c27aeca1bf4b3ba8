"""A state in shares over ranks: which systems have one, and what it can do."""

from typing import Protocol

import numpy as np

from hpcbench.parallel.ranks import Ranks
from sims.kernels.four_step import SMALLEST_NUM_POINTS
from sims.space.field import Field
from sims.space.ring import Ring
from sims.space.tiled_field import TiledField
from sims.systems.flows.kuramoto_sivashinsky import KuramotoSivashinsky
from sims.systems.flows.lorenz96 import Lorenz96
from sims.systems.system import System


class SharedState(Protocol):
    """A state in shares over ranks, and how it goes on.

    Attributes
    ----------
    exchange_seconds
        Time that this rank has spent, while advancing, on sending, receiving and waiting.
    """

    exchange_seconds: float

    @property
    def compiled(self) -> bool:
        """Whether a compiled kernel takes the steps."""

    @property
    def shares(self) -> list[int]:
        """Components of every rank."""

    def arrange(self, state: np.ndarray) -> np.ndarray:
        """Return a whole state in the order in which ranks share it."""

    def restore(self, arranged: np.ndarray) -> np.ndarray:
        """Return a whole state in the order of its components."""

    def load(self, values: np.ndarray) -> None:
        """Set this rank's share."""

    def values(self) -> np.ndarray:
        """Return this rank's share."""

    def advance(self, num_steps: int) -> None:
        """Take some steps; called by every rank."""


def space_obstacle(system: System) -> str | None:
    """Return why one trajectory of a system cannot be spread over ranks, None where it can."""
    if isinstance(system, Lorenz96):
        return None
    if not isinstance(system, KuramotoSivashinsky):
        return f'{system.name} is too small to be spread over ranks; valid: "members"'
    if system.scheme != "etdrk4":
        return f'"space" is integrated by etdrk4 only, not by {system.scheme}; or take "members"'
    return None


def shared_state(system: System, step: float, ranks: Ranks) -> SharedState:
    """Return the state of a system in shares; raise :class:`InputError` for too many ranks."""
    if isinstance(system, Lorenz96):
        return Ring(system, step, ranks)
    assert isinstance(system, KuramotoSivashinsky), space_obstacle(system)
    if system.compiled and system.num_components >= SMALLEST_NUM_POINTS:
        return TiledField(system, step, ranks)
    return Field(system, step, ranks)
