"""Systems in discrete time."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from sims.systems.system import Stepper, System


class Map(System):
    """x_{n+1} = f(x_n); the unit of time is the iteration."""

    schemes: ClassVar[tuple[str, ...]] = ("iteration",)

    @abstractmethod
    def image(self, x: np.ndarray) -> np.ndarray:
        """Return f(x); components along the last axis."""

    @abstractmethod
    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return Df(x) v; components along the last axis, other axes as in a product."""

    def step_obstacle(self, step: float) -> str | None:
        """Return that a step is one iteration."""
        return None if step == 1 else f"a step of {self.name} is one iteration; valid: 1.0"

    def stepper(self, step: float) -> Stepper:
        """Return f."""
        return self.image

    def linearised_stepper(self, step: float) -> Stepper:
        """Return (x, v) → (f(x), Df(x) v)."""
        return self._linearised_image

    def _linearised_image(self, joint: np.ndarray) -> np.ndarray:
        x, v = joint[:, :1], joint[:, 1:]
        return np.concatenate([self.image(x), self.tangent(x, v)], axis=1)
