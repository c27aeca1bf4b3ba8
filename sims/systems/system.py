"""What every dynamical system offers: parameters, initial states, and time steps in batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from hpcbench.config.tree import Config
from hpcbench.errors import InputError
from sims import kernels
from sims.systems.seeding import member_generator

Stepper = Callable[[np.ndarray], np.ndarray]
"""Advances a batch of working states by one step."""

Kernel = Literal["auto", "compiled", "reference"]
"""Which code takes the steps: the compiled one, the readable one, or compiled where it can."""


@dataclass(frozen=True)
class Exponent:
    """The largest Lyapunov exponent of a system, per model time unit.

    uncertainty
        Standard error, 0 where the value follows from a formula.
    source
        Where it comes from.
    """

    value: float
    uncertainty: float
    source: str

    def __str__(self) -> str:
        margin = f" ± {self.uncertainty:.1g}" if self.uncertainty else ""
        return f"{self.value:.6g}{margin}: {self.source}"


class System(ABC):
    """A dynamical system with its parameters and numerical scheme.

    States are float64 arrays ``(member, component)``. Steps may be taken in another
    representation, the *working* states (Fourier coefficients, for example).

    Attributes
    ----------
    name
        As spelt in a specification.
    schemes
        Names of the integrators it can be stepped with, the usual one first.
    Parameters
        Configuration class of its parameters.
    compiled
        Whether a compiled kernel takes the steps.

    Raises :class:`InputError` when a compiled kernel is asked for where there is none.
    """

    name: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    Parameters: ClassVar[type[Config]]

    def __init__(self, parameters: Any, scheme: str | None = None, kernel: Kernel = "auto") -> None:
        self.parameters = parameters
        self.scheme = self.schemes[0] if scheme is None else scheme
        obstacle = self.kernel_obstacle()
        if kernel == "compiled" and obstacle:
            raise InputError(f'integration.kernel: given "compiled", but {obstacle}')
        self.compiled = kernel != "reference" and not obstacle

    def kernel_obstacle(self) -> str | None:
        """Return why no compiled kernel takes the steps, None where one can."""
        return f'{self.name} has no compiled kernel; valid: "auto", "reference"'

    def step_obstacle(self, step: float) -> str | None:
        """Return why the scheme cannot take steps of this size, None where it can."""
        return None

    @property
    def kernel_name(self) -> str:
        """The code that takes the steps, as records name it: results of others differ in bits."""
        return f"compiled {kernels.variant()}" if self.compiled else "reference"

    @property
    @abstractmethod
    def num_components(self) -> int:
        """Length of the state."""

    @abstractmethod
    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a random state near the attractor, ``(component,)``."""

    @abstractmethod
    def stepper(self, step: float) -> Stepper:
        """Return the function that advances working states by one step of ``step``."""

    @abstractmethod
    def linearised_stepper(self, step: float) -> Stepper:
        """Return the function that advances working states together with tangent vectors.

        Its argument holds each working state, followed by its tangent vectors, along one more
        axis: ``(member, 1 + vector, component)``. The tangent is that of the discrete step, not of
        the equation, so that exponents are those of the trajectories that datasets hold.
        """

    @property
    def num_tangents(self) -> int:
        """Dimension of the space of tangent vectors, as many as there are Lyapunov exponents."""
        return self.num_components

    def initial_tangents(self, random: np.random.Generator, num_vectors: int) -> np.ndarray:
        """Return random tangent vectors of one working state, ``(vector, component)``."""
        return random.standard_normal((num_vectors, self.num_tangents))

    def restrict_tangents(self, vectors: np.ndarray) -> np.ndarray:
        """Return tangent vectors without what rounding adds outside their space."""
        return vectors

    @abstractmethod
    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return the largest Lyapunov exponent, None where none is known."""

    def to_working(self, states: np.ndarray) -> np.ndarray:
        """Return the working states of states."""
        return states

    def from_working(self, working: np.ndarray) -> np.ndarray:
        """Return the states of working states."""
        return working

    def initial_states(self, seed: int, members: range) -> np.ndarray:
        """Return the initial states of some members, ``(member, component)``."""
        return np.stack([self.initial_state(member_generator(seed, m)) for m in members])

    def advance(
        self,
        states: np.ndarray,
        step: float,
        num_steps: int,
        save_every: int,
        out: np.ndarray[Any, Any] | None = None,
    ) -> None:
        """Advance states in place and save some of them on the way.

        What a member does must not depend, to the last bit, on which members it shares a
        batch with.

        states
            ``(member, component)``, float64; after the call, the states ``num_steps`` later.
        step
            Step in model time units.
        num_steps
            Number of steps, a multiple of ``save_every``.
        save_every
            Steps between two saved states; the first is saved after as many.
        out
            ``(member, num_steps / save_every, component)``, float32 or float64, for the saved
            states; any stride between members. None saves nothing.
        """
        if self.compiled:
            with suppress(kernels.BlownUp):  # found in the states, and reported with what to do
                self.advance_compiled(states, step, num_steps, save_every, out)
            return
        take_step = self.stepper(step)
        working = self.to_working(states)
        # a run that blows up is found in its states, and reported with what to do
        with np.errstate(over="ignore", invalid="ignore"):
            for count in range(1, num_steps + 1):
                working = take_step(working)
                if out is not None and count % save_every == 0:
                    out[:, count // save_every - 1] = self.from_working(working)
            states[...] = self.from_working(working)

    def advance_compiled(
        self,
        states: np.ndarray,
        step: float,
        num_steps: int,
        save_every: int,
        out: np.ndarray[Any, Any] | None,
    ) -> None:
        """Do what :meth:`advance` says by the compiled kernel, where there is one."""
        raise NotImplementedError(f"{self.name}: kernel_obstacle() promised a compiled kernel")
