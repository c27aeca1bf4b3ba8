"""The explicit Euler method."""

from collections.abc import Callable

import numpy as np


def euler_step(rhs: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float) -> np.ndarray:
    """Return the state of dx/dt = f(x) one step later: x(t + h) = x + h f(x) + O(h²).

    rhs
        f, over the last axis with any batch axes in front.
    x
        State, ``(..., component)``.
    step
        h.

    Reference: L. Euler, Institutionum calculi integralis I, § 650 (1768).
    """
    return x + step * rhs(x)
