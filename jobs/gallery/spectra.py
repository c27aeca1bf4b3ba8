"""Lyapunov spectra of a system and of the network that learned it, side by side."""

import functools
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from analysis import plots
from analysis.plots.style import Picture
from hpcbench.forecasting.lyapunov_dimension import kaplan_yorke_dimension
from hpcbench.parallel.ranks import Ranks
from jobs.gallery.workshop import SYSTEM_SPECS
from sims.generation.spec import read_spec
from sims.lyapunov.spectrum import Schedule, lyapunov_spectrum

Array = npt.NDArray[np.float64]

BETWEEN = 5
"""Steps from one orthogonalisation to the next."""


@dataclass(frozen=True)
class Spectra:
    """Leading exponents per model time unit, descending, and the dimensions they give."""

    system: Array
    model: Array

    @property
    def dimensions(self) -> tuple[float, float]:
        """Kaplan–Yorke dimensions of system and model; no number where exponents are missing."""
        return kaplan_yorke_dimension(self.system), kaplan_yorke_dimension(self.model)

    def sentence(self) -> str:
        """Return λ₁ and dimension of both in words."""
        system, model = self.dimensions
        return (
            f"λ₁ {self.model[0]:.3f} against {self.system[0]:.3f}, Kaplan–Yorke dimension "
            f"{model:.2f} against {system:.2f}"
        )

    def picture(self, name: str, what: str) -> Picture:
        """Draw both spectra."""
        system, model = self.dimensions
        return plots.lyapunov_spectra(
            {f"system, D = {system:.2f}": self.system, f"closed loop, D = {model:.2f}": self.model},
            name=name, title=f"{what}: Lyapunov spectra, D Kaplan–Yorke dimension",
        )  # fmt: skip


@functools.cache
def system_exponents(spec: str, step: float, number: int, num_steps: int, members: int) -> Array:
    """Return the leading exponents of a system, from several short trajectories."""
    found = read_spec(SYSTEM_SPECS / f"{spec}.toml", ["--integration.step", str(step)])
    whole = -(-num_steps // BETWEEN) * BETWEEN
    length = Schedule(found.spin_up_steps, whole // 5 // BETWEEN * BETWEEN, whole, BETWEEN)
    spectrum = lyapunov_spectrum(
        found.build_system(), step, number, members, found.seed, length, Ranks()
    )
    return spectrum.exponents


def model_exponents(run: Path) -> Array:
    """Return the exponents that a training run measured in closed loop."""
    with h5py.File(run / "forecast.h5") as file:
        return np.asarray(file["model_lyapunov_exponents"])
