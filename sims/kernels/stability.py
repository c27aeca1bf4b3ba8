"""The largest stable step of the multistep exponential schemes."""

import numpy as np

from hpcbench.errors import InputError
from sims.kernels.exponential import Array, multistep_weights

AMPLITUDE = 1.8
"""Speed with which the frozen field carries waves in the criterion: between the rms of the
attractor (1.2 to 1.3) and its maximum (3.5), which is reached nowhere for long. With it, steps
just below the limit stayed bounded on 64 trajectories over 5000 time units for L = 22 and 200 and
over 500 for L = 1600; for L = 200, steps 1.2 times (etdab4) and 1.5 times (etd_pece) the limit
blew up."""

GROWTH_TOLERANCE = 1e-3
"""Growth per step, above that of the equation, that still counts as accuracy, not instability."""

PREDICTOR_NODES = [0, -1, -2, -3]
CORRECTOR_NODES = [1, 0, -1, -2, -3]


def amplification(scheme: str, step: float, linear: Array, gradient: Array) -> float:
    """Return the worst growth per step of a wave on a field frozen at u = `AMPLITUDE`.

        dv/dt = (q² − q⁴) v − i q u v

    stepped with the linear part exact and the carrying part explicit, as the schemes do. The
    modulus of the largest root is divided by max(1, e^{h (q² − q⁴)}), the growth of the equation.
    """
    z = step * linear
    carried = -1j * step * gradient * AMPLITUDE
    full = np.exp(z)
    matrix = np.zeros((z.size, 4, 4), complex)
    matrix[:, 1, 0] = matrix[:, 2, 1] = matrix[:, 3, 2] = 1
    predictor = np.stack([carried * w for w in multistep_weights(z, PREDICTOR_NODES)], axis=-1)
    predictor[:, 0] += full
    if scheme == "etdab4":
        matrix[:, 0] = predictor
    else:
        ahead, *known = (carried * w for w in multistep_weights(z, CORRECTOR_NODES))
        matrix[:, 0] = ahead[:, None] * predictor + np.stack(known, axis=-1)
        matrix[:, 0, 0] += full
    growth = np.abs(np.linalg.eigvals(matrix)).max(axis=1)
    return float((growth / np.maximum(1, full)).max())


def is_stable(scheme: str, step: float, linear: Array, gradient: Array) -> bool:
    """Return whether no wave grows by more than `GROWTH_TOLERANCE` per step on its own."""
    return amplification(scheme, step, linear, gradient) <= 1 + GROWTH_TOLERANCE


def largest_stable_step(scheme: str, linear: Array, gradient: Array, unstable: float) -> float:
    """Return the largest stable step below a given unstable one, to one percent."""
    stable, high = 0.0, unstable
    while high - stable > 0.01 * high:
        middle = (stable + high) / 2
        if is_stable(scheme, middle, linear, gradient):
            stable = middle
        else:
            high = middle
    return stable


def check_stable(scheme: str, step: float, linear: Array, gradient: Array) -> None:
    """Raise `InputError` naming the largest stable step if this one is not."""
    if not is_stable(scheme, step, linear, gradient):
        limit = largest_stable_step(scheme, linear, gradient, step)
        raise InputError(
            f"step: {step} is unstable with {scheme}; steps up to {limit:.3g} are stable for "
            f'these parameters, and the scheme "etdrk4" takes larger ones'
        )
