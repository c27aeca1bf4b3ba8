"""Checks of what the kernels are given, and the form in which they take it."""

import ctypes
from typing import Any

import numpy as np

from hpcbench.errors import EnvironmentLacks, InputError
from sims.kernels.library import SUFFIXES

OUT_OF_MEMORY = 1


class BlownUp(InputError):
    """A trajectory has left the range of the number format."""


def check_states(states: np.ndarray[Any, Any], components: str) -> None:
    """Raise `InputError` unless states is a C-contiguous ``(trajectory, component)`` array."""
    if states.ndim != 2 or states.dtype not in SUFFIXES or not states.flags.c_contiguous:
        raise InputError(
            f"states: a contiguous float64 or float32 array (trajectory, {components}) is "
            f"needed; got {states.dtype} of shape {states.shape}"
        )
    if not states.flags.writeable:
        raise InputError("states: updated in place, so it must be writeable; pass a copy")


def check_steps(step: float, num_steps: int, save_every: int) -> None:
    """Raise `InputError` unless the step and the numbers of steps make sense."""
    if not 0 < step < float("inf"):
        raise InputError(f"step: must be positive and finite; got {step}")
    if num_steps < 0 or save_every < 1:
        raise InputError(
            f"num_steps, save_every: at least 0 and 1 are needed; got {num_steps}, {save_every}"
        )


class Saved:
    """Where the saved samples go, as arguments of a kernel.

    out
        ``(trajectory, num_steps // save_every, component)`` in float32, or in the states'
        type; components contiguous, any other strides. None saves nothing.
    """

    def __init__(
        self,
        states: np.ndarray[Any, Any],
        num_steps: int,
        save_every: int,
        out: np.ndarray[Any, Any] | None,
    ) -> None:
        if out is None:
            self.arguments: tuple[Any, ...] = (0, None, 0, 0, 0)
            return
        num_trajectories, num_components = states.shape
        needed = (num_trajectories, num_steps // save_every, num_components)
        if out.shape != needed:
            raise InputError(
                f"out: shape {needed} is needed for {num_steps} steps saved every {save_every}; "
                f"got {out.shape}"
            )
        if out.dtype not in (np.float32, states.dtype):
            raise InputError(
                f"out: float32 or the states' {states.dtype} is needed; got {out.dtype}"
            )
        size = out.itemsize
        if (num_components > 1 and out.strides[2] != size) or not out.flags.writeable:
            raise InputError("out: must be writeable, with contiguous components")
        self.arguments = (
            save_every,
            out.ctypes.data,
            int(out.dtype == np.float32),
            out.strides[0] // size,
            out.strides[1] // size,
        )


def call(kernel: Any, *arguments: Any) -> None:
    """Call a kernel: integers as C long, floats as double, addresses and None as pointers."""
    kernel.restype = ctypes.c_int
    if kernel(*arguments) == OUT_OF_MEMORY:
        raise EnvironmentLacks("the kernel's workspace does not fit into memory")


def check_finite(states: np.ndarray[Any, Any], step: float) -> None:
    """Raise `BlownUp` if a trajectory has left the range of the number format."""
    if not np.isfinite(states).all():
        lost = np.flatnonzero(~np.isfinite(states).all(axis=1))
        raise BlownUp(
            f"step: with {step} the states are no longer finite (first in trajectory {lost[0]}, "
            f"{lost.size} in all); take smaller steps or check the initial states"
        )
