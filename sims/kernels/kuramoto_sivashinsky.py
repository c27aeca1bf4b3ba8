"""Compiled Kuramoto-Sivashinsky ensembles by exponential integrators."""

import functools
from collections.abc import Sequence
from ctypes import c_int, c_long, c_void_p
from typing import Any

import numpy as np

from hpcbench.errors import InputError, nearest
from sims.kernels.arrays import Saved, call, check_finite, check_states, check_steps
from sims.kernels.exponential import Array, etdrk4_weights, multistep_weights
from sims.kernels.library import function
from sims.kernels.stability import check_stable

MEMBER_GROUP = 2
"""Trajectories 2j and 2j + 1 are the real and imaginary part of one complex field: rounding
errors of one reach the other. Ensembles are divided at even trajectories only; a last one without
a partner is paired with u = 0."""

SMALLEST_NUM_POINTS = 16

SCHEMES = ("etdrk4", "etdab4", "etd_pece")
"""In the order of the numbers that the kernel knows them by."""

UPDATES = (
    "load",
    "etdrk4_a",
    "etdrk4_a_record",
    "etdrk4_b",
    "etdrk4_c",
    "etdrk4_d",
    "ab4",
    "pece_predict",
    "pece_correct",
)
"""The kernel's updates of the spectrum, in its order."""


def kuramoto_sivashinsky_ensemble(
    states: np.ndarray[Any, Any],
    domain_length: float,
    step: float,
    num_steps: int,
    save_every: int = 1,
    out: np.ndarray[Any, Any] | None = None,
    scheme: str = "etdrk4",
) -> None:
    """Advance an ensemble of Kuramoto-Sivashinsky fields, in place.

        u_t = −u u_x − u_xx − u_xxxx,   x_j = j L / N,  j = 0 … N − 1,  periodic
        dû/dt = (q² − q⁴) û − (i q / 2) F[u²],   q = 2π n / L

    without dealiasing; the highest wave has no first derivative. The mean is conserved exactly
    in Fourier space.

    states
        ``(trajectory, point)``, N a power of two from 16 on, contiguous; float64 or float32,
        which is also the type of the arithmetic. Holds the final states afterwards.
    domain_length
        L.
    step
        h in model time units; 0.25 is usual with ``etdrk4``.
    num_steps
        Number of steps.
    save_every
        Steps between saved samples; the first is saved after as many.
    out
        ``(trajectory, num_steps // save_every, point)``, float32 or the type of the states, any
        stride between trajectories and samples. None saves nothing.
    scheme
        ``etdrk4``: 4 evaluations of the nonlinear term per step. ``etdab4``: 1, exponential
        Adams-Bashforth of order 4. ``etd_pece``: 2, that and the corrector of order 5. The last
        two take their first three steps by ``etdrk4`` and are cheaper at equal accuracy, for
        steps below their limit of stability (`check_stable`).

    The bits of a trajectory depend on its pair (`MEMBER_GROUP`) but on no other trajectory. They
    do depend on how the steps are divided into calls: a call begins with a transform, and a
    multistep scheme with its first steps. Raises `InputError` for arrays that do not fit, numbers
    of points that are no power of two, unstable steps, and states that blow up.

    References: `exponential.etdrk4_weights` and `exponential.multistep_weights`; step and scheme
    as in A.-K. Kassam, L. N. Trefethen, SIAM J. Sci. Comput. 26, 1214 (2005),
    doi:10.1137/S1064827502410633.
    """
    check_states(states, "point")
    check_steps(step, num_steps, save_every)
    if scheme not in SCHEMES:
        raise InputError(
            f'scheme "{scheme}": not known{nearest(scheme, SCHEMES)}; valid: {", ".join(SCHEMES)}'
        )
    plan = _plan(states.shape[1], float(domain_length), float(step), scheme, states.dtype.str)
    kernel = function("kuramoto_sivashinsky_ensemble", states.dtype)
    kernel.argtypes = [c_void_p, c_long, c_long, c_long, c_void_p, c_void_p, c_long, c_long]
    kernel.argtypes += [c_long, c_void_p, c_int, c_long, c_long]
    saved = Saved(states, num_steps, save_every, out)
    call(
        kernel,
        states.ctypes.data,
        *states.shape,
        plan.radices[0],
        plan.twiddles.ctypes.data,
        plan.coefficients.ctypes.data,
        SCHEMES.index(scheme),
        num_steps,
        *saved.arguments,
    )
    check_finite(states, step)


class Plan:
    """Passes, twiddle factors and coefficients, in the order in which the kernel reads them.

    Attributes
    ----------
    radices
        Of the passes, outermost first; the innermost 8 is not among them.
    twiddles, coefficients
        Addresses of the tables per pass and per update (0 where an update is not used).
    """

    def __init__(
        self, num_points: int, domain_length: float, step: float, scheme: str, dtype: str
    ) -> None:
        _check_size(num_points, domain_length)
        self.radices = _radices(num_points)
        self._dtype = np.dtype(dtype)
        order = digit_reversed_order([*self.radices, 8])
        modes = np.where(order < num_points // 2, order, order - num_points)
        wavenumbers = 2 * np.pi * modes / domain_length
        linear = wavenumbers**2 - wavenumbers**4
        gradient = np.where(2 * order == num_points, 0.0, wavenumbers)
        if scheme != "etdrk4":
            check_stable(scheme, step, linear, gradient)
        self._tables = [self._table(t) for t in twiddles(num_points, self.radices)]
        self.twiddles = np.array([table.ctypes.data for table in self._tables])
        # the spectrum of u² comes multiplied by i and not divided by N
        factor = -step * gradient / (2 * num_points)
        self.coefficients = np.zeros(len(UPDATES), np.intp)
        for name, columns in _coefficients(scheme, step * linear, factor, num_points).items():
            self._tables.append(self._table(np.stack(columns, axis=-1)))
            self.coefficients[UPDATES.index(name)] = self._tables[-1].ctypes.data

    def _table(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(values, self._dtype)


_plan = functools.lru_cache(maxsize=16)(Plan)


def digit_reversed_order(radices: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the mode (0 … N − 1) at each position after forward passes of these radices."""
    if not radices:
        return np.zeros(1, np.int64)
    inner = digit_reversed_order(radices[1:])
    return np.concatenate([k + radices[0] * inner for k in range(radices[0])])


def _coefficients(scheme: str, z: Array, factor: Array, num_points: int) -> dict[str, list[Array]]:
    """Return update → its columns; ``factor`` i W stands for h N.

    The stages of ETDRK4 are eliminated: h Q N(v) = a − e v with e = e^{z/2}, and so on, so that
    no slope has to be stored:

        c = (e − 1) a + e v + 2 h Q N(b)
        v(t + h) = n_v v + n_a a + n_b b + n_c c + h γ N(c)
    """
    w = etdrk4_weights(z)
    e, q, beta = w["half"], w["q"], w["beta"]
    weights = {
        "v": w["full"] - e * (w["alpha"] + beta) / q,
        "a": (w["alpha"] + beta - e * beta) / q,
        "b": 2 * beta / q,
        "c": beta / q,
    }
    # v: e^z v + α (a − e v)/q + 2β (b − e v)/q + β ((c − e a) + (a − e v))/q
    weights["v"] = weights["v"] - 2 * beta * e / q
    still = factor == 0
    mean = still & (z == 0)
    for name, value in weights.items():
        # with no slope at all, v(t + h) = e^z v, exactly
        weights[name] = np.where(still, np.where(name == "v", w["full"], 0.0), value)
    first = [e, factor * q]
    columns = {
        "load": [np.full(1, 1 / num_points)],
        "etdrk4_a": first,
        "etdrk4_a_record": first,
        "etdrk4_b": first,
        "etdrk4_c": [np.where(mean, 0.0, e - 1), e, 2 * factor * q, *weights.values()],
        "etdrk4_d": [factor * w["gamma"]],
    }
    if scheme == "etdrk4":
        return columns
    predictor = [factor * b for b in multistep_weights(z, [0, -1, -2, -3])]
    if scheme == "etdab4":
        return columns | {"ab4": [w["full"], *predictor]}
    ahead, *known = (factor * b for b in multistep_weights(z, [1, 0, -1, -2, -3]))
    return columns | {
        "pece_predict": [w["full"], *predictor, *known],
        "pece_correct": [ahead],
    }


def twiddles(num_points: int, radices: Sequence[int]) -> list[np.ndarray[Any, Any]]:
    """Return per pass the (cos, −sin) of 2πjk/m, shape (m/r, r − 1, 2), for its size m."""
    tables, size = [], num_points
    for radix in radices:
        turns = np.outer(np.arange(size // radix), np.arange(1, radix)) / size
        tables.append(np.stack([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)], axis=-1))
        size //= radix
    return tables


def _radices(num_points: int) -> list[int]:
    """Return the passes but the innermost 8: first what a power of 8 does not hold, then 8s."""
    bits = num_points.bit_length() - 4
    first = bits % 3 or 3
    return [1 << first] + [8] * ((bits - first) // 3)


def size_obstacle(num_points: int) -> str | None:
    """Return why the kernel cannot take this number of points, None where it can."""
    if num_points >= SMALLEST_NUM_POINTS and not num_points & (num_points - 1):
        return None
    above = max(1 << (num_points - 1).bit_length(), SMALLEST_NUM_POINTS)
    below = f"{above // 2} or " if above > SMALLEST_NUM_POINTS else ""
    return (
        f"{num_points} points; the compiled kernel needs a power of two from "
        f"{SMALLEST_NUM_POINTS} on, nearest {below}{above}"
    )


def _check_size(num_points: int, domain_length: float) -> None:
    if not 0 < domain_length < float("inf"):
        raise InputError(f"domain_length: must be positive and finite; got {domain_length}")
    if obstacle := size_obstacle(num_points):
        raise InputError(f"states: {obstacle}")
