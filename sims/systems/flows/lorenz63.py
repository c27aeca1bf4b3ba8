"""The Lorenz-63 system."""

from typing import Annotated

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims.systems.flows.flow import Flow
from sims.systems.system import Exponent

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Lorenz63Parameters(Config):
    """Parameters of the Lorenz-63 system.

    sigma, rho, beta
        Prandtl number, Rayleigh number over its critical value, and shape of the rolls.
    """

    sigma: Finite
    rho: Finite
    beta: Finite


class Lorenz63(Flow):
    """dx/dt = σ (y − x),  dy/dt = x (ρ − z) − y,  dz/dt = x y − β z.

    Three amplitudes of convection between two plates. With σ = 10, ρ = 28, β = 8/3 chaotic, with
    two wings around the unstable fixed points (±√(β (ρ − 1)), ±√(β (ρ − 1)), ρ − 1). The exponents
    add up to the divergence of the flow, −(σ + 1 + β).

    Reference: E. N. Lorenz, J. Atmos. Sci. 20, 130 (1963),
    doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2.
    """

    name = "lorenz63"
    Parameters = Lorenz63Parameters
    parameters: Lorenz63Parameters

    @property
    def num_components(self) -> int:
        """Three: x, y, z."""
        return 3

    def rhs(self, x: np.ndarray) -> np.ndarray:
        """Return (dx/dt, dy/dt, dz/dt)."""
        p, (x, y, z) = self.parameters, np.moveaxis(x, -1, 0)
        return np.stack([p.sigma * (y - x), x * (p.rho - z) - y, x * y - p.beta * z], axis=-1)

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the derivative of the right-hand side along v."""
        p, (x, y, z), (a, b, c) = self.parameters, np.moveaxis(x, -1, 0), np.moveaxis(v, -1, 0)
        return np.stack(
            [p.sigma * (b - a), (p.rho - z) * a - b - x * c, y * a + x * b - p.beta * c], axis=-1
        )

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a point near (1, 1, ρ − 1), between the wings."""
        return np.array([1.0, 1.0, self.parameters.rho - 1]) + random.random(3)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return the exponent of the classical parameters."""
        p = self.parameters
        if (p.sigma, p.rho) == (10, 28) and abs(p.beta - 8 / 3) < 1e-12:
            return Exponent(0.9056, 1e-4, "Sprott, Chaos and Time-Series Analysis, Oxford 2003")
        return None
