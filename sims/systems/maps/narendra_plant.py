"""Narendra's plant, driven by random inputs."""

from typing import Annotated

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims.systems.maps.map import Map
from sims.systems.noise import next_number, random_number
from sims.systems.system import Exponent


class NarendraPlantParameters(Config):
    """Parameters of the plant.

    amplitude
        Inputs are uniform between this and its negative; 2 in the reference.
    """

    amplitude: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class NarendraPlant(Map):
    """x_{t+1} = x_t / (1 + x_t²) + u_t³,  y_t = x_t.

    A plant to be identified from its inputs u and outputs y. As a dataset it has the components
    (y, u), and u is random. Its exponent, the mean of ln |∂x_{t+1} / ∂x_t|, is negative: what the
    plant does follows from the inputs, whatever its first state was.

    Reference: K. S. Narendra, K. Parthasarathy, IEEE Trans. Neural Netw. 1, 4 (1990), example 3,
    doi:10.1109/72.80202.
    """

    name = "narendra_plant"
    Parameters = NarendraPlantParameters
    parameters: NarendraPlantParameters

    @property
    def num_components(self) -> int:
        """Two: output, input."""
        return 2

    @property
    def num_tangents(self) -> int:
        """One: inputs are given, and only the state of the plant may deviate."""
        return 1

    def initial_tangents(self, random: np.random.Generator, num_vectors: int) -> np.ndarray:
        """Return vectors along the state."""
        return np.stack([random.standard_normal(num_vectors), np.zeros(num_vectors)], axis=-1)

    def next_state(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return x / (1 + x²) + u³."""
        return x / (1 + x**2) + u**3

    def output(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return x."""
        return x

    def to_working(self, states: np.ndarray) -> np.ndarray:
        """Return (x, w), with w the member of the random sequence that u is made of."""
        w = (states[..., 1] / self.parameters.amplitude + 1) / 2
        return np.stack([states[..., 0], w], axis=-1)

    def from_working(self, working: np.ndarray) -> np.ndarray:
        """Return (y, u)."""
        x, w = np.moveaxis(working, -1, 0)
        return np.stack([x, self.parameters.amplitude * (2 * w - 1)], axis=-1)

    def image(self, x: np.ndarray) -> np.ndarray:
        """Return the working state one step later."""
        state, u = np.moveaxis(self.from_working(x), -1, 0)
        return np.stack([self.next_state(state, u), next_number(x[..., 1])], axis=-1)

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return (∂x_{t+1} / ∂x_t v, 0)."""
        square = x[..., 0] ** 2
        along = (1 - square) / (1 + square) ** 2 * v[..., 0]
        return np.stack([along, np.zeros_like(along)], axis=-1)

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a plant at rest with a random input."""
        return self.from_working(np.array([0.0, random_number(random)]))

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return None: no value is published, and none is positive."""
        return None
