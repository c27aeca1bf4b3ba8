"""Compiled sums over time, from which the statistics of a dataset follow."""

from ctypes import c_long, c_void_p
from typing import Any

import numpy as np

from hpcbench.errors import InputError
from sims.kernels.arrays import call
from sims.kernels.library import SUFFIXES, function


def add_sums(sums: np.ndarray[Any, Any], samples: np.ndarray[Any, Any]) -> None:
    """Add Σ_t x and Σ_t x² of each trajectory to running sums, in float64.

    sums
        ``(trajectory, 2, component)``, float64, contiguous; changed in place.
    samples
        ``(trajectory, time, component)``, float32 or float64; any stride between trajectories.

    The same to the last bit as :func:`hpcbench.data.store.add_sums`, which is its reference,
    from two components on. Raises `InputError` for arrays that do not fit.
    """
    num_trajectories, _, num_components = samples.shape
    size = samples.itemsize
    if (
        samples.dtype not in SUFFIXES
        or samples.strides[1:] != (num_components * size, size)
        or sums.shape != (num_trajectories, 2, num_components)
        or sums.dtype != np.float64
        or not sums.flags.c_contiguous
    ):
        raise InputError(
            "sums, samples: contiguous float64 (trajectory, 2, component) and (trajectory, time, "
            f"component) are needed; got {sums.dtype} {sums.shape} and {samples.dtype} "
            f"{samples.shape} with strides {samples.strides}"
        )
    kernel = function("add_sums", samples.dtype)
    kernel.argtypes = [c_void_p, c_void_p, c_long, c_long, c_long, c_long]
    stride = samples.strides[0] // size
    call(kernel, sums.ctypes.data, samples.ctypes.data, *samples.shape, stride)
