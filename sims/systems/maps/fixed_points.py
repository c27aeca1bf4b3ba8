"""Fixed points of maps, and whether they are stable."""

from dataclasses import dataclass

import numpy as np

from hpcbench.errors import InputError
from sims.systems.maps.map import Map

MAX_ITERATIONS = 100
TOLERANCE = 1e-13


@dataclass(frozen=True)
class FixedPoint:
    """A solution of x* = f(x*).

    eigenvalues
        Of Df(x*), largest modulus first.
    """

    x: np.ndarray
    eigenvalues: np.ndarray

    @property
    def spectral_radius(self) -> float:
        """Largest modulus ρ of an eigenvalue: small deviations grow or decay by it per step."""
        return float(abs(self.eigenvalues[0]))

    @property
    def is_stable(self) -> bool:
        """Whether every small deviation dies out, ρ < 1."""
        return self.spectral_radius < 1


def jacobian(system: Map, x: np.ndarray) -> np.ndarray:
    """Return Df(x), ``(component, component)``."""
    return system.tangent(x, np.eye(len(x))).T


def fixed_point(system: Map, guess: np.ndarray) -> FixedPoint:
    """Return the fixed point that Newton's method finds from a guess.

        x ← x − (Df(x) − I)⁻¹ (f(x) − x)

    Newton's method finds unstable fixed points as well as stable ones, and converges
    quadratically unless 1 is an eigenvalue of Df(x*).

    Raises :class:`InputError` where it does not converge.
    """
    x = np.array(guess, float)
    for _ in range(MAX_ITERATIONS):
        try:
            change = np.linalg.solve(jacobian(system, x) - np.eye(len(x)), system.image(x) - x)
        except np.linalg.LinAlgError:
            break  # the tangent of f − x vanishes in some direction
        x = x - change
        if not np.isfinite(x).all():
            break
        if np.linalg.norm(change) <= TOLERANCE * max(1.0, float(np.linalg.norm(x))):
            values = np.linalg.eigvals(jacobian(system, x))
            return FixedPoint(x, values[np.argsort(-np.abs(values))])
    raise InputError(
        f"{system.name}: no fixed point found from {np.asarray(guess).tolist()}; start closer to "
        "one"
    )
