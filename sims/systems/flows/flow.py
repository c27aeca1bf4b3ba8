"""Systems of ordinary differential equations."""

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from sims.schemes.euler import euler_step
from sims.schemes.rk4 import rk4_step
from sims.systems.system import Stepper, System

ONE_STEP: dict[str, Callable[..., np.ndarray]] = {"rk4": rk4_step, "euler": euler_step}
"""Scheme → function that takes one step of dx/dt = f(x)."""


class Flow(System):
    """dx/dt = f(x), with the tangent flow dv/dt = Df(x) v.

    A Runge-Kutta step of both equations at once moves v by the exact derivative of the step of x.
    """

    schemes: ClassVar[tuple[str, ...]] = ("rk4",)

    @abstractmethod
    def rhs(self, x: np.ndarray) -> np.ndarray:
        """Return f(x); components along the last axis."""

    @abstractmethod
    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return Df(x) v; components along the last axis, other axes as in a product."""

    def stepper(self, step: float) -> Stepper:
        """Return a step of the scheme."""
        return functools.partial(self._step, self.rhs, step=step)

    def linearised_stepper(self, step: float) -> Stepper:
        """Return a step of states and tangent vectors together."""
        return functools.partial(self._step, self._linearised_rhs, step=step)

    def _step(self, rhs: Stepper, x: np.ndarray, step: float) -> np.ndarray:
        return ONE_STEP[self.scheme](rhs, x, step)

    def _linearised_rhs(self, joint: np.ndarray) -> np.ndarray:
        x, v = joint[:, :1], joint[:, 1:]
        return np.concatenate([self.rhs(x), self.tangent(x, v)], axis=1)
