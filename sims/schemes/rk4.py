"""The classical Runge-Kutta method of fourth order."""

from collections.abc import Callable

import numpy as np


def rk4_step(rhs: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float) -> np.ndarray:
    """Return the state of dx/dt = f(x) one step later.

        k1 = f(x)                 k3 = f(x + h k2 / 2)
        k2 = f(x + h k1 / 2)      k4 = f(x + h k3)
        x(t + h) = x + h (k1 + 2 k2 + 2 k3 + k4) / 6 + O(h⁵)

    rhs
        f, over the last axis with any batch axes in front.
    x
        State, ``(..., component)``.
    step
        h.

    Reference: W. Kutta, Z. Math. Phys. 46, 435 (1901).
    """
    k1 = rhs(x)
    k2 = rhs(x + step / 2 * k1)
    k3 = rhs(x + step / 2 * k2)
    k4 = rhs(x + step * k3)
    return x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
