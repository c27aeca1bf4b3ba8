"""Compiled Lorenz-96: ensembles of rings, and one ring of any length."""

from ctypes import c_double, c_int, c_long, c_void_p
from typing import Any

import numpy as np

from hpcbench.errors import InputError
from sims.kernels.arrays import Saved, call, check_finite, check_states, check_steps
from sims.kernels.library import SUFFIXES, function, load

MEMBER_GROUP = 1
"""Trajectories per group whose bits depend on each other: each stands alone."""

HALO_LEFT = 8
HALO_RIGHT = 4
"""Sites on either side that one Runge-Kutta step reaches: 2 and 1 per stage, four stages."""

SHORTEST = 18
"""Sites that a lane of a folded block has at least: the four stages follow one another on them."""

BLOCK_BYTES = 1 << 16
"""Size of the folded blocks of a ring; with the stages' arrays they stay in the L2 cache."""


def lorenz96_ensemble(
    states: np.ndarray[Any, Any],
    forcing: float,
    step: float,
    num_steps: int,
    save_every: int = 1,
    out: np.ndarray[Any, Any] | None = None,
) -> None:
    """Advance an ensemble of Lorenz-96 rings by the classical Runge-Kutta scheme, in place.

        dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F,   i modulo N

    states
        ``(trajectory, site)``, N ≥ 4 sites, contiguous; float64 or float32, which is also the
        type of the arithmetic. Holds the final states afterwards.
    forcing
        F.
    step
        h in model time units; 0.01 is usual.
    num_steps
        Number of steps.
    save_every
        Steps between saved samples; the first is saved after as many.
    out
        ``(trajectory, num_steps // save_every, site)``, float32 or the type of the states, any
        stride between trajectories and samples. None saves nothing.

    The bits of a trajectory depend neither on the others nor on how the steps are divided into
    calls. Raises `InputError` for arrays that do not fit, and for states that blow up.
    """
    check_states(states, "site")
    check_steps(step, num_steps, save_every)
    if states.shape[1] < 4:
        raise InputError(f"states: at least 4 sites are needed; got {states.shape[1]}")
    kernel = function("lorenz96_ensemble", states.dtype)
    kernel.argtypes = [c_void_p, c_long, c_long, c_double, c_double, c_long, c_long]
    kernel.argtypes += [c_void_p, c_int, c_long, c_long]
    saved = Saved(states, num_steps, save_every, out)
    call(kernel, states.ctypes.data, *states.shape, forcing, step, num_steps, *saved.arguments)
    check_finite(states, step)


def ring_advance(points: np.ndarray[Any, Any], forcing: float, step: float, num_steps: int) -> None:
    """Advance a piece of a Lorenz-96 ring with its halos by some steps, in place.

    One pass over memory, so more steps per call cost less; 8 are enough to leave the memory's
    bandwidth behind.

    points
        ``(8 s + n + 4 s,)`` with s = ``num_steps``: n sites between `HALO_LEFT` s sites to their
        left and `HALO_RIGHT` s to their right, all at the same time. Afterwards the n sites are
        s steps further and the halos are as they were.
    forcing, step
        As in `lorenz96_ensemble`.

    The bits of a site do not depend on where the ring was cut. Raises `InputError` for an array
    that does not fit.
    """
    check_steps(step, num_steps, 1)
    left, right = HALO_LEFT * num_steps, HALO_RIGHT * num_steps
    num_points = points.size - left - right
    if points.ndim != 1 or points.dtype not in SUFFIXES or not points.flags.c_contiguous:
        raise InputError(
            "points: a contiguous float64 or float32 array (site,) is needed; "
            f"got {points.dtype} of shape {points.shape}"
        )
    if num_points < 1:
        raise InputError(
            f"points: {num_steps} steps need halos of {left} and {right} sites around at least "
            f"one; got {points.size} sites in all"
        )
    if num_steps == 0:
        return
    lanes = int(load().vector_bytes()) // points.itemsize
    # as many blocks as of the full size, all of one length
    useful = BLOCK_BYTES // points.itemsize
    num_blocks = -(-num_points // useful)
    block_length = -(-(-(-num_points // num_blocks) + left + right) // lanes)
    kernel = function("lorenz96_ring_advance", points.dtype)
    kernel.argtypes = [c_void_p, c_long, c_double, c_double, c_long, c_long]
    call(
        kernel,
        points.ctypes.data,
        num_points,
        forcing,
        step,
        num_steps,
        max(block_length, SHORTEST),
    )


def lorenz96_ring(
    state: np.ndarray[Any, Any],
    forcing: float,
    step: float,
    num_steps: int,
    steps_per_pass: int = 16,
) -> np.ndarray[Any, Any]:
    """Return one large Lorenz-96 ring, ``(site,)``, some steps later; `ring_advance` on one rank.

    Every ``steps_per_pass`` steps the halos are filled from the other end of the ring.
    """
    if state.ndim != 1 or state.size < 4:
        raise InputError(f"state: (site,) with at least 4 sites is needed; got {state.shape}")
    if steps_per_pass < 1:
        raise InputError(f"steps_per_pass: at least 1 is needed; got {steps_per_pass}")
    check_steps(step, num_steps, 1)
    size, most = state.size, min(steps_per_pass, num_steps)
    # room for the largest halos; shorter passes use the inner part
    room = np.empty(HALO_LEFT * most + size + HALO_RIGHT * most, state.dtype)
    start = HALO_LEFT * most
    room[start : start + size] = state
    done = 0
    while done < num_steps:
        count = min(most, num_steps - done)
        left, right = HALO_LEFT * count, HALO_RIGHT * count
        inner = room[start : start + size]
        room[start - left : start] = inner.take(np.arange(-left, 0), mode="wrap")
        room[start + size : start + size + right] = inner.take(np.arange(right), mode="wrap")
        ring_advance(room[start - left : start + size + right], forcing, step, count)
        done += count
    result = room[start : start + size].copy()
    check_finite(result[None], step)
    return result
