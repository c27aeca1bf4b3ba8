"""Lyapunov spectra of systems, to set those of models against.

A dataset states the largest exponent only. The whole spectrum is what
``hpcbench lyapunov SPEC.toml --json > FILE.json`` prints; a report takes such files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.descriptions import describe_parameters, number
from analysis.records.documents import read_document
from hpcbench.errors import InputError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SystemSpectrum:
    """Lyapunov exponents of a system.

    Attributes
    ----------
    system, parameters
        Which system, its parameters as the tables write them.
    exponents
        Falling, per unit of model time.
    dimension
        Kaplan–Yorke dimension, NaN where too few exponents were measured.
    """

    system: str
    parameters: str
    exponents: Array
    dimension: float


def read_spectrum(path: Path) -> SystemSpectrum:
    """Read what ``hpcbench lyapunov --json`` printed.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    document, problem = read_document(path)
    found = document.get("results")
    exponents: list[float] = []
    dimension = math.nan
    for result in found if isinstance(found, list) else []:
        name, value = (result.get(key) for key in ("name", "value")) if isinstance(
            result, dict) else ("", None)  # fmt: skip
        if str(name).startswith("exponent_"):
            exponents.append(number(value))
        elif name == "kaplan_yorke_dimension":
            dimension = number(value)
    if problem or not exponents or "system" not in document:
        raise InputError(
            f"--lyapunov: {problem or f'{path}: holds no Lyapunov exponents'}; give what "
            "`hpcbench lyapunov SPEC.toml --json > FILE.json` writes"
        )
    values = np.array(exponents)
    parameters = describe_parameters(document.get("parameters"))
    kept = np.sort(values[np.isfinite(values)])[::-1]
    return SystemSpectrum(str(document["system"]), parameters, kept, dimension)


def spectrum_of(
    spectra: Sequence[SystemSpectrum], system: Any, parameters: Any
) -> SystemSpectrum | None:
    """Return the spectrum of a system with just these parameters, None where none was given."""
    for spectrum in spectra:
        if (spectrum.system, spectrum.parameters) == (system, parameters):
            return spectrum
    return None
