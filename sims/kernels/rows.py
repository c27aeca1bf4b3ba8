"""Rows written to a file by one call, which leaves the interpreter to other threads."""

import ctypes
import os
from typing import Any

import numpy as np

from sims.kernels.library import load


def write_rows(descriptor: int, rows: np.ndarray[Any, Any], position: int, stride: int) -> None:
    """Write the rows of a contiguous array to equally distant places in an open file.

    rows
        ``(row, ...)``; row r goes to byte ``position + r * stride``.

    Raises `OSError` as `os.pwrite` does.
    """
    assert rows.flags.c_contiguous
    kernel = load().write_rows
    kernel.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]
    kernel.argtypes += [ctypes.c_longlong, ctypes.c_longlong]
    num_rows = len(rows)
    error = kernel(
        descriptor, rows.ctypes.data, num_rows, rows.nbytes // max(num_rows, 1), position, stride
    )
    if error:
        raise OSError(error, os.strerror(error))
