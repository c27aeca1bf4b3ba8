"""Exponential multistep schemes, for stiff linear and mild nonlinear parts."""

from collections import deque
from collections.abc import Callable

import numpy as np

from sims.kernels.exponential import multistep_weights
from sims.schemes.etdrk4 import ETDRK4


class ETDMultistep:
    """Steps of dv/dt = L v + N(v) with diagonal real L, from the slopes of steps before.

        v* = e^{hL} v_n + h (b_0 N(v_n) + b_1 N(v_{n−1}) + b_2 N(v_{n−2}) + b_3 N(v_{n−3}))
        v_{n+1} = v*                                                            (ETDAB4)
        v_{n+1} = e^{hL} v_n + h (c_{−1} N(v*) + c_0 N(v_n) + … + c_3 N(v_{n−3}))   (ETD-PECE)

    The weights make each exact for slopes that are polynomials in time: of degree 3 for the
    predictor (order 4), of degree 4 for the corrector (order 5). The first three steps are taken
    by ETDRK4. An instance follows one integration: it is called with what it returned before.

    linear
        Diagonal of L, ``(mode,)``, real.
    nonlinear
        N, over the last axis with any batch axes in front.
    step
        h; see `sims.kernels.stability` for how large it may be.
    corrector
        Whether to correct (two evaluations of N per step) or only to predict (one).

    Reference: S. P. Nørsett, Lect. Notes Math. 109, 214 (1969), doi:10.1007/BFb0060031.
    """

    def __init__(
        self,
        linear: np.ndarray,
        nonlinear: Callable[[np.ndarray], np.ndarray],
        step: float,
        corrector: bool,
    ) -> None:
        self.nonlinear = nonlinear
        self.first_steps = ETDRK4(linear, nonlinear, step)
        self.full = np.exp(step * linear)
        self.predict = [step * b for b in multistep_weights(step * linear, [0, -1, -2, -3])]
        self.correct: list[np.ndarray] = []
        if corrector:
            weights = multistep_weights(step * linear, [1, 0, -1, -2, -3])
            self.correct = [step * c for c in weights]
        self.slopes: deque[np.ndarray] = deque(maxlen=4)

    def __call__(self, v: np.ndarray) -> np.ndarray:
        """Return v one step later."""
        self.slopes.appendleft(self.nonlinear(v))
        if len(self.slopes) < 4:
            return self.first_steps(v)
        ahead = self.full * v + _weighted(self.predict, self.slopes)
        if not self.correct:
            return ahead
        return self.full * v + _weighted(self.correct, [self.nonlinear(ahead), *self.slopes])


def _weighted(
    weights: list[np.ndarray], slopes: deque[np.ndarray] | list[np.ndarray]
) -> np.ndarray:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], list(slopes)[1:], strict=True):
        total += weight * slope
    return total
