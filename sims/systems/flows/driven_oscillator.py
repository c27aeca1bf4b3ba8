"""The damped driven oscillator."""

from typing import Annotated

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims.systems.flows.flow import Flow
from sims.systems.system import Exponent

TURN = 2 * np.pi


class DrivenOscillatorParameters(Config):
    """Parameters of the damped driven oscillator.

    damping
        η.
    drive_amplitude, drive_frequency
        F₀ and Ω of the force F₀ cos Ω t.
    """

    damping: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    drive_amplitude: Annotated[float, Field(allow_inf_nan=False)]
    drive_frequency: Annotated[float, Field(allow_inf_nan=False)]


class DrivenOscillator(Flow):
    """dx/dt = v,  dv/dt = F₀ cos φ − η v − x,  dφ/dt = Ω.

    With F₀ = 0 and ω = √(1 − η²/4),

        x = e^{−ηt/2} (x₀ cos ωt + (v₀ + η x₀ / 2) / ω sin ωt)

    With the force, x ends up at A cos(φ − δ) with A = F₀ / √((1 − Ω²)² + η² Ω²). Datasets have the
    components (x, v, cos φ, sin φ).

    By ``euler``, v_{i+1} = v_i + h (F_i − η v_i − x_i) and x_{i+1} = x_i + h v_i, deviations are
    multiplied by √(1 − η h + h²) per step as long as η < 2: stable for h < η only. ``rk4`` is the
    one to use.
    """

    name = "driven_oscillator"
    schemes = ("rk4", "euler")
    Parameters = DrivenOscillatorParameters
    parameters: DrivenOscillatorParameters

    @property
    def num_components(self) -> int:
        """Four: x, v, cos φ, sin φ."""
        return 4

    @property
    def num_tangents(self) -> int:
        """Three: x, v, φ."""
        return 3

    def to_working(self, states: np.ndarray) -> np.ndarray:
        """Return (x, v, φ)."""
        phase = np.arctan2(states[..., 3], states[..., 2])
        return np.stack([states[..., 0], states[..., 1], phase], axis=-1)

    def from_working(self, working: np.ndarray) -> np.ndarray:
        """Return (x, v, cos φ, sin φ)."""
        x, v, phase = np.moveaxis(working, -1, 0)
        return np.stack([x, v, np.cos(phase), np.sin(phase)], axis=-1)

    def rhs(self, x: np.ndarray) -> np.ndarray:
        """Return (dx/dt, dv/dt, dφ/dt)."""
        p, (x, v, phase) = self.parameters, np.moveaxis(x, -1, 0)
        force = p.drive_amplitude * np.cos(phase)
        return np.stack(
            [v, force - p.damping * v - x, np.full_like(phase, p.drive_frequency)], axis=-1
        )

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the derivative of the right-hand side along v."""
        p, (a, b, c) = self.parameters, np.moveaxis(v, -1, 0)
        force = -p.drive_amplitude * np.sin(x[..., 2]) * c
        return np.stack([b, force - p.damping * b - a, np.zeros_like(c)], axis=-1)

    def step_obstacle(self, step: float) -> str | None:
        """Return that deviations grow with this step although the equation damps them."""
        power = step * np.array([[0.0, 1.0], [-1.0, -self.parameters.damping]])
        terms = 4 if self.scheme == "rk4" else 1
        term, amplification = np.eye(2), np.eye(2)
        for n in range(1, terms + 1):
            term = term @ power / n
            amplification = amplification + term
        growth = float(np.abs(np.linalg.eigvals(amplification)).max())
        if growth <= 1:
            return None
        limit = f"h < η = {self.parameters.damping:g}" if self.scheme == "euler" else "h < 2.7"
        return (
            f"is unstable with {self.scheme}: deviations grow by {growth:.6g} per step; "
            f"stable for {limit} where η < 2"
        )

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return normal x and v, and any phase."""
        return self.from_working(np.append(random.standard_normal(2), TURN * random.random()))

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return 0, that of the phase of the force; the others are negative."""
        return Exponent(0.0, 0.0, "exact: the phase of the force neither grows nor decays")
