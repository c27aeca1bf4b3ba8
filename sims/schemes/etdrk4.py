"""Exponential time differencing of fourth order, for stiff linear and mild nonlinear parts."""

from collections.abc import Callable

import numpy as np

CONTOUR_POINTS = 64
"""Points on the upper half of the unit circle around h L; the coefficients converge like 1/M!"""


class ETDRK4:
    """One step of dv/dt = L v + N(v) with diagonal real L.

        a = e^{hL/2} v + Q N(v)
        b = e^{hL/2} v + Q N(a)
        c = e^{hL/2} a + Q (2 N(b) − N(v))
        v(t + h) = e^{hL} v + α N(v) + 2 β (N(a) + N(b)) + γ N(c)

        Q = h (e^{z/2} − 1) / z                       α = h (−4 − z + e^z (4 − 3z + z²)) / z³
        β = h (2 + z + e^z (z − 2)) / z³              γ = h (−4 − 3z − z² + e^z (4 − z)) / z³

    with z = hL. These lose all digits as z → 0 and are evaluated as means over a circle around
    z, on which they are analytic.

    linear
        Diagonal of L, ``(mode,)``, real.
    nonlinear
        N, over the last axis with any batch axes in front.
    step
        h.

    References: S. M. Cox, P. C. Matthews, J. Comput. Phys. 176, 430 (2002), eqs. 26–29,
    doi:10.1006/jcph.2002.6995; A.-K. Kassam, L. N. Trefethen, SIAM J. Sci. Comput. 26, 1214
    (2005), doi:10.1137/S1064827502410633, for the contour.
    """

    def __init__(
        self, linear: np.ndarray, nonlinear: Callable[[np.ndarray], np.ndarray], step: float
    ) -> None:
        self.nonlinear = nonlinear
        angles = np.pi * (np.arange(CONTOUR_POINTS) + 0.5) / CONTOUR_POINTS
        z = step * linear[:, None] + np.exp(1j * angles)

        def mean(values: np.ndarray) -> np.ndarray:
            # the lower half circle holds the complex conjugates
            return step * values.mean(axis=1).real

        exp_z = np.exp(z)
        self.full = np.exp(step * linear)
        self.half = np.exp(step * linear / 2)
        self.q = mean((np.exp(z / 2) - 1) / z)
        self.alpha = mean((-4 - z + exp_z * (4 - 3 * z + z**2)) / z**3)
        self.beta = mean((2 + z + exp_z * (z - 2)) / z**3)
        self.gamma = mean((-4 - 3 * z - z**2 + exp_z * (4 - z)) / z**3)

    def __call__(self, v: np.ndarray) -> np.ndarray:
        """Return v one step later."""
        half_v = self.half * v
        n_v = self.nonlinear(v)
        a = half_v + self.q * n_v
        n_a = self.nonlinear(a)
        b = half_v + self.q * n_a
        n_b = self.nonlinear(b)
        c = self.half * a + self.q * (2 * n_b - n_v)
        n_c = self.nonlinear(c)
        return self.full * v + self.alpha * n_v + 2 * self.beta * (n_a + n_b) + self.gamma * n_c
