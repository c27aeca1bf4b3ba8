"""The logistic map."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims.systems.maps.map import Map
from sims.systems.system import Exponent


class LogisticMapParameters(Config):
    """Parameters of the logistic map.

    rate
        r; up to 4 the interval from 0 to 1 is mapped into itself.
    """

    rate: Annotated[float, Field(gt=0, le=4)]


class LogisticMap(Map):
    """x_{n+1} = r x_n (1 − x_n).

    Growth with a limit. The fixed points are 0, stable for r < 1, and 1 − 1/r, stable for
    1 < r < 3; then the period doubles at r = 3, 1 + √6 = 3.449…, 3.544…, … up to chaos from
    3.569946… on. On its attractor x lies between r² (4 − r) / 16 and r / 4.

    Reference: R. M. May, Nature 261, 459 (1976), doi:10.1038/261459a0.
    """

    name = "logistic_map"
    Parameters = LogisticMapParameters
    parameters: LogisticMapParameters

    EXPONENTS: ClassVar[dict[float, Exponent]] = {
        3.5: Exponent(-0.87250735, 1e-8, "tangent dynamics on the cycle of 4"),
        3.55: Exponent(-0.09989221, 1e-8, "tangent dynamics on the cycle of 8"),
        3.9: Exponent(0.49606, 3e-5, "tangent dynamics (docs/results/lyapunov.md)"),
        4.0: Exponent(float(np.log(2)), 0.0, "conjugate to the tent map: ln 2"),
    }
    """r → largest Lyapunov exponent, beyond the period of two."""

    @property
    def num_components(self) -> int:
        """One."""
        return 1

    def image(self, x: np.ndarray) -> np.ndarray:
        """Return r x (1 − x)."""
        return self.parameters.rate * x * (1 - x)

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return r (1 − 2 x) v."""
        return self.parameters.rate * (1 - 2 * x) * v

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a number between 0.05 and 0.95."""
        return 0.05 + 0.9 * random.random(1)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return the exponent, from a formula up to the period of two."""
        r = self.parameters.rate
        if r < 1:
            return Exponent(float(np.log(r)), 0.0, "exact: ln r at x = 0")
        if 1 < r < 3 and r != 2:
            return Exponent(float(np.log(abs(2 - r))), 0.0, "exact: ln |2 − r| at x = 1 − 1/r")
        if 3 < r < 1 + np.sqrt(6):
            product = abs(4 + 2 * r - r**2)
            if product > 0:
                return Exponent(float(np.log(product)) / 2, 0.0, "exact: ½ ln |4 + 2 r − r²|")
        return self.EXPONENTS.get(r)
