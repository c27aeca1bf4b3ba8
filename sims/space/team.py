"""The ranks as a team: all advance one trajectory together, each a part of its state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from hpcbench.errors import HpcbenchError
from hpcbench.parallel.ranks import Ranks
from sims.space.shared_state import shared_state
from sims.systems.system import Exponent, Stepper, System

Result = TypeVar("Result")


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


class Team(System):
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
