"""Linear maps."""

from typing import Annotated

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims.systems.maps.map import Map
from sims.systems.seeding import member_generator
from sims.systems.system import Exponent


class LinearMapParameters(Config):
    """Parameters of a linear map with a random matrix.

    size
        Number of components.
    spectral_radius
        ρ(A), the largest modulus of an eigenvalue of A.
    offset
        Every component of b.
    matrix_seed
        Seed of the matrix, whose elements are normal before it is scaled to ρ(A).
    """

    size: Annotated[int, Field(ge=1)]
    spectral_radius: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    offset: Annotated[float, Field(allow_inf_nan=False)]
    matrix_seed: Annotated[int, Field(ge=0, lt=2**63)]


class LinearMap(Map):
    """x_{n+1} = A x_n + b.

    The fixed point x* = (I − A)⁻¹ b is stable exactly if ρ(A) < 1: deviations from it then decay
    like ρ(A)ⁿ in the long run, and grow like it if ρ(A) > 1. The Lyapunov exponents are the
    logarithms of the moduli of the eigenvalues of A.
    """

    name = "linear_map"
    Parameters = LinearMapParameters
    parameters: LinearMapParameters

    @property
    def num_components(self) -> int:
        """Size of A."""
        return self.parameters.size

    @property
    def matrix(self) -> np.ndarray:
        """A."""
        p = self.parameters
        a = member_generator(p.matrix_seed, 0).standard_normal((p.size, p.size))
        return a * (p.spectral_radius / np.abs(np.linalg.eigvals(a)).max())

    def image(self, x: np.ndarray) -> np.ndarray:
        """Return A x + b."""
        return self.tangent(x, x) + self.parameters.offset

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return A v, rounded for each vector as if it were alone, which BLAS would not."""
        return np.sum(v[..., None, :] * self.matrix, axis=-1)

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a normal vector."""
        return random.standard_normal(self.num_components)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return ln ρ(A)."""
        return Exponent(float(np.log(self.parameters.spectral_radius)), 0.0, "exact: ln ρ(A)")
