"""The compiled library for this processor, loaded on first use."""

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from hpcbench.errors import EnvironmentLacks, InputError, nearest
from sims.kernels.build import library_name, variants

FOLDER = Path(__file__).resolve().parent

VARIANT_VARIABLE = "HPCBENCH_KERNELS"
"""Environment variable that asks for an instruction set other than the widest."""

SUFFIXES = {np.dtype(np.float64): "f64", np.dtype(np.float32): "f32"}
"""Arithmetic type → suffix of its kernels."""


def variant() -> str:
    """Return the instruction set in use and its compiler, such as ``avx512 (12.2.0)``.

    Results differ in rounding between variants, as only some contract a multiplication and an
    addition into one operation: a record of a run names its variant.
    """
    return f"{_chosen()} ({load().compiler().decode()})"


@functools.cache
def load() -> ctypes.CDLL:
    """Return the library of the widest instruction set that was built and runs here.

    Raises `EnvironmentLacks` when none was built.
    """
    library = _open(_chosen())
    library.compiler.restype = ctypes.c_char_p
    return library


def function(name: str, dtype: np.dtype[Any]) -> Any:
    """Return the kernel of this name for an arithmetic type."""
    return getattr(load(), f"{name}_{SUFFIXES[dtype]}")


def available() -> list[str]:
    """Return the instruction sets that were built and that this processor runs."""
    built = [name for name in variants() if (FOLDER / library_name(name)).exists()]
    if not built or next(iter(variants())) not in built:
        raise EnvironmentLacks(
            f"the compiled kernels are missing from {FOLDER}; build them with "
            f'"python {FOLDER / "build.py"}" (needs a C compiler), or install again'
        )
    level = _open(built[0]).instruction_set()
    return [name for name in built if list(variants()).index(name) <= level]


@functools.cache
def obstacle() -> str | None:
    """Return why the compiled kernels cannot be used, None where they can."""
    try:
        load()
    except EnvironmentLacks as error:
        return str(error)
    return None


@functools.cache
def _chosen() -> str:
    valid = available()
    asked = os.environ.get(VARIANT_VARIABLE, valid[-1])
    if asked not in valid:
        raise InputError(
            f"{VARIANT_VARIABLE}={asked}: not available here{nearest(asked, valid)}; "
            f"valid: {', '.join(valid)}"
        )
    return asked


def _open(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(FOLDER / library_name(name)))
    except OSError as error:
        raise EnvironmentLacks(
            f"{FOLDER / library_name(name)} does not load ({error}); build it again with "
            f'"python {FOLDER / "build.py"}"'
        ) from None
