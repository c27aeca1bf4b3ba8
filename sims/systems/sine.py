"""Sine waves, clean and noisy."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims.systems.noise import next_number, random_number
from sims.systems.system import Exponent, Stepper, System

TURN = 2 * np.pi
Frequency = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SineParameters(Config):
    """Parameters of a sine wave.

    angular_frequency
        ω, radians per unit of time.
    """

    angular_frequency: Frequency


class NoisySineParameters(Config):
    """Parameters of a noisy sine wave.

    angular_frequency
        ω, radians per unit of time.
    noise
        A, width of the noise.
    """

    angular_frequency: Frequency
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Sine(System):
    """x(t) = sin(φ + ω t), beside cos(φ + ω t).

    Samples at distance h obey x_{n+1} = 2 cos(ω h) x_n − x_{n−1} exactly: a linear forecaster that
    sees two samples can be perfect.
    """

    name = "sine"
    schemes: ClassVar[tuple[str, ...]] = ("exact",)
    Parameters: ClassVar[type[Config]] = SineParameters

    @property
    def num_components(self) -> int:
        """Two: sine, cosine."""
        return 2

    @property
    def num_tangents(self) -> int:
        """One: the phase."""
        return 1

    def to_working(self, states: np.ndarray) -> np.ndarray:
        """Return the phase, ``(..., 1)``."""
        return np.arctan2(states[..., :1], states[..., 1:])

    def from_working(self, working: np.ndarray) -> np.ndarray:
        """Return sine and cosine of the phase."""
        return np.concatenate([np.sin(working), np.cos(working)], axis=-1)

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a wave with any phase."""
        return self.from_working(TURN * random.random(1))

    def stepper(self, step: float) -> Stepper:
        """Return a turn of the phase by ω h."""
        angle = self.parameters.angular_frequency * step
        return lambda phase: np.remainder(phase + angle, TURN)

    def linearised_stepper(self, step: float) -> Stepper:
        """Return a turn of the phase by ω h, which leaves deviations as they are."""
        turn = self.stepper(step)
        return lambda joint: np.concatenate([turn(joint[:, :1]), joint[:, 1:]], axis=1)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return 0."""
        return Exponent(0.0, 0.0, "exact: the phase neither grows nor decays")


class NoisySine(System):
    """x(t) = sin(φ + ω t) + A w(t), with w uniform from 0 to 1.

    Datasets have the components (x, sin, cos, w): what is observed, and what it is made of. The
    noise is new at every step; no forecaster of x can do better than an error of A / √12.
    """

    name = "noisy_sine"
    schemes: ClassVar[tuple[str, ...]] = ("exact",)
    Parameters: ClassVar[type[Config]] = NoisySineParameters

    @property
    def num_components(self) -> int:
        """Four: observation, sine, cosine, noise."""
        return 4

    @property
    def num_tangents(self) -> int:
        """One: the phase; the noise is given."""
        return 1

    def to_working(self, states: np.ndarray) -> np.ndarray:
        """Return phase and noise, ``(..., 2)``."""
        _, sine, cosine, noise = np.moveaxis(states, -1, 0)
        return np.stack([np.arctan2(sine, cosine), noise], axis=-1)

    def from_working(self, working: np.ndarray) -> np.ndarray:
        """Return observation, sine, cosine and noise."""
        phase, noise = np.moveaxis(working, -1, 0)
        sine = np.sin(phase)
        return np.stack([sine + self.parameters.noise * noise, sine, np.cos(phase), noise], axis=-1)

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a wave with any phase and noise."""
        return self.from_working(np.array([TURN * random.random(), random_number(random)]))

    def initial_tangents(self, random: np.random.Generator, num_vectors: int) -> np.ndarray:
        """Return vectors along the phase."""
        return np.stack([random.standard_normal(num_vectors), np.zeros(num_vectors)], axis=-1)

    def stepper(self, step: float) -> Stepper:
        """Return a turn of the phase by ω h, with new noise."""
        angle = self.parameters.angular_frequency * step

        def take_step(working: np.ndarray) -> np.ndarray:
            phase, noise = np.moveaxis(working, -1, 0)
            return np.stack([np.remainder(phase + angle, TURN), next_number(noise)], axis=-1)

        return take_step

    def linearised_stepper(self, step: float) -> Stepper:
        """Return a step that leaves deviations of the phase as they are."""
        turn = self.stepper(step)
        return lambda joint: np.concatenate([turn(joint[:, :1]), joint[:, 1:]], axis=1)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return 0."""
        return Exponent(0.0, 0.0, "exact: the phase neither grows nor decays")
