"""The Hénon map."""

from typing import Annotated

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims.systems.maps.map import Map
from sims.systems.system import Exponent


class HenonMapParameters(Config):
    """Parameters of the Hénon map.

    a
        Strength of the fold.
    b
        Area by which a unit area is contracted.
    """

    a: Annotated[float, Field(allow_inf_nan=False)]
    b: Annotated[float, Field(allow_inf_nan=False)]


class HenonMap(Map):
    """x_{n+1} = 1 − a x_n² + y_n,  y_{n+1} = b x_n.

    Folds and contracts the plane; with a = 1.4, b = 0.3 chaotic on a strange attractor. Both fixed
    points, x* = (b − 1 ± √((1 − b)² + 4 a)) / 2 a and y* = b x*, are saddles there. The exponents
    add up to ln |b|.

    Reference: M. Hénon, Commun. Math. Phys. 50, 69 (1976), doi:10.1007/BF01608556.
    """

    name = "henon_map"
    Parameters = HenonMapParameters
    parameters: HenonMapParameters

    @property
    def num_components(self) -> int:
        """Two: x, y."""
        return 2

    def image(self, x: np.ndarray) -> np.ndarray:
        """Return (1 − a x² + y, b x)."""
        p, (x, y) = self.parameters, np.moveaxis(x, -1, 0)
        return np.stack([1 - p.a * x**2 + y, p.b * x], axis=-1)

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the derivative of the image along v."""
        p = self.parameters
        return np.stack([-2 * p.a * x[..., 0] * v[..., 0] + v[..., 1], p.b * v[..., 0]], axis=-1)

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a point within 0.1 of the origin in both directions."""
        return 0.2 * random.random(2) - 0.1

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return the exponent of the classical parameters."""
        if (self.parameters.a, self.parameters.b) == (1.4, 0.3):
            return Exponent(0.41922, 1e-5, "Sprott, Chaos and Time-Series Analysis, Oxford 2003")
        return None
