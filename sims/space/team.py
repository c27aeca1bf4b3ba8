"""Trajectories that all ranks advance together, each a part of every state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from hpcbench.errors import HpcbenchError
from hpcbench.parallel.ranks import Ranks
from sims.kernels.four_step import SMALLEST_NUM_POINTS
from sims.space.field import Field
from sims.space.ring import Ring
from sims.space.tiled_field import TiledField
from sims.systems.flows.kuramoto_sivashinsky import KuramotoSivashinsky
from sims.systems.flows.lorenz96 import Lorenz96
from sims.systems.system import Exponent, Stepper, System

Result = TypeVar("Result")


class Shared(Protocol):
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


def shared_state(system: System, step: float, ranks: Ranks) -> Shared:
    """Return the state of a system in shares; raise :class:`InputError` for too many ranks."""
    if isinstance(system, Lorenz96):
        return Ring(system, step, ranks)
    assert isinstance(system, KuramotoSivashinsky), space_obstacle(system)
    if system.compiled and system.num_components >= SMALLEST_NUM_POINTS:
        return TiledField(system, step, ranks)
    return Field(system, step, ranks)


@dataclass(frozen=True)
class Order:
    """What the first rank asks of the others: one state to be advanced."""

    num_steps: int
    save_every: int
    saving: bool


@dataclass(frozen=True)
class Done:
    """The end of the work, its result or its error."""

    result: Any
    problem: HpcbenchError | None


class InSpace(System):
    """x' = f(x), with the components of every state spread over all ranks.

    Within `lead`, the first rank uses it as any system, and the others do their share.

    system
        What is integrated.
    step
        h; all calls must ask for it.
    """

    name = "in_space"
    schemes = ("etdrk4", "rk4")

    def __init__(self, system: System, step: float, ranks: Ranks) -> None:
        super().__init__(system.parameters, system.scheme, "reference")
        self.system, self.step, self.ranks = system, step, ranks
        self.shared = shared_state(system, step, ranks)
        self.compiled = self.shared.compiled

    @property
    def num_components(self) -> int:
        """That of the system."""
        return self.system.num_components

    @property
    def kernel_name(self) -> str:
        """The code that takes the steps, and that space is divided."""
        return f"{super().kernel_name} in space"

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return one of the system."""
        return self.system.initial_state(random)

    def stepper(self, step: float) -> Stepper:
        """Return the one of the system, for a whole state."""
        return self.system.stepper(step)

    def linearised_stepper(self, step: float) -> Stepper:
        """Return the one of the system, for a whole state."""
        return self.system.linearised_stepper(step)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return the one of the system."""
        return self.system.reference_lyapunov_exponent()

    def advance(
        self,
        states: np.ndarray,
        step: float,
        num_steps: int,
        save_every: int,
        out: np.ndarray[Any, Any] | None = None,
    ) -> None:
        """Advance states as :meth:`System.advance` says; called by the first rank, in `lead`."""
        assert step == self.step
        for member, state in enumerate(states):
            order = Order(num_steps, save_every, out is not None)
            self.ranks.gather(order)
            state[...] = self._follow(order, state, None if out is None else out[member])

    def lead(self, work: Callable[[], Result]) -> Result:
        """Run work on the first rank, with the help of all others where it calls `advance`.

        Called by every rank. Returns the result, or raises the error, of the work on all of them.
        """
        done: Done
        if self.ranks.is_first:
            try:
                done = Done(work(), None)
            except HpcbenchError as error:
                done = Done(None, error)
            self.ranks.gather(done)
        else:
            while not isinstance(order := self._hear(), Done):
                self._follow(order, None, None)
            done = order
        if done.problem is not None:
            raise done.problem
        return done.result

    def _hear(self) -> Order | Done:
        order: Any = self.ranks.gather(None)[0]
        heard: Order | Done = order
        return heard

    def _follow(
        self, order: Order, state: np.ndarray | None, out: np.ndarray | None
    ) -> np.ndarray | None:
        """Do this rank's share of an order; the first rank gives the state and has the result."""
        self.shared.load(self._scatter(state))
        for sample in range(order.num_steps // order.save_every):
            self.shared.advance(order.save_every)
            if order.saving:
                whole = self._gather()
                if out is not None:
                    out[sample] = whole
        return self._gather()

    def _scatter(self, state: np.ndarray | None) -> np.ndarray:
        arranged = None if state is None else self.shared.arrange(state)
        if self.ranks.size == 1:
            assert arranged is not None
            return arranged
        own = np.empty(self.shared.shares[self.ranks.rank])
        self.ranks.comm.Scatterv([arranged, self.shared.shares], own)
        return own

    def _gather(self) -> np.ndarray | None:
        own = self.shared.values()
        if self.ranks.size == 1:
            return self.shared.restore(own)
        whole = np.empty(self.num_components) if self.ranks.is_first else None
        self.ranks.comm.Gatherv(own, [whole, self.shared.shares])
        return None if whole is None else self.shared.restore(whole)
