"""Lyapunov spectra of the systems against published values, and against what is stored."""

from pathlib import Path

import numpy as np
import pytest

import sims
from hpcbench.parallel.ranks import Ranks
from sims.generation.spec import read_spec
from sims.lyapunov.spectrum import Schedule, Spectrum, lyapunov_spectrum

pytestmark = pytest.mark.validation

SPECS = Path(sims.__file__).parent / "specs"

CASES = {
    # specification: exponents, members, steps; the published λ₁ and how far it is to be trusted;
    # the Kaplan–Yorke dimension and the same
    "lorenz63": (3, 256, 60_000, 0.9056, 0.002, 2.062, 0.001),
    "lorenz96_f8": (40, 16, 20_000, 1.68, 0.05, 27.1, 0.3),
    "lorenz96_f10": (40, 16, 20_000, 2.28, 0.06, 29.5, 0.3),
    "kuramoto_sivashinsky_l22": (12, 32, 24_000, 0.048, 0.002, 4.25, 0.02),
    "kuramoto_sivashinsky_l36": (14, 32, 12_000, 0.079, 0.004, 7.2, 0.1),
    "kuramoto_sivashinsky_l60": (20, 16, 12_000, 0.088, 0.004, 12.5, 0.15),
    "kuramoto_sivashinsky_l100": (28, 16, 6_000, 0.093, 0.004, 21.5, 0.2),
    "kuramoto_sivashinsky_l200": (50, 8, 6_000, 0.093, 0.005, 44.0, 0.3),
}


@pytest.mark.parametrize("name", CASES)
def test_largest_exponent_and_dimension(name: str) -> None:
    number, members, steps, exponent, margin, dimension, dimension_margin = CASES[name]
    spec = read_spec(SPECS / f"{name}.toml")
    system, step = spec.build_system(), spec.integration.step
    run = Schedule(spec.spin_up_steps, steps // 10, steps, 10)
    found: Spectrum = lyapunov_spectrum(system, step, number, members, 1, run, Ranks())
    error = found.standard_error[0]
    assert error < margin
    assert found.exponents[0] == pytest.approx(exponent, abs=margin)
    assert found.dimension[0] == pytest.approx(dimension, abs=dimension_margin)
    stored = system.reference_lyapunov_exponent()
    assert stored is not None
    assert abs(found.exponents[0] - stored.value) < 4 * np.hypot(error, stored.uncertainty)
    if spec.system == "lorenz96":
        assert found.sum[0] == pytest.approx(-40, abs=1e-3)
    if spec.system == "lorenz63":
        assert found.sum[0] == pytest.approx(-41 / 3, abs=1e-3)
