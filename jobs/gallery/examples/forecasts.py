"""Lorenz-96 and Kuramoto–Sivashinsky: forecasts over space and time, spectra, exponents."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from analysis.plots.style import Picture
from analysis.records.series import read_forecasts
from analysis.report.pictures import climate_pictures, error_picture, example_pictures
from hpcbench.config.tree import Config, Table
from hpcbench.errors import HpcbenchError
from jobs.gallery.examples import Made
from jobs.gallery.spectra import Spectra, model_exponents, system_exponents
from jobs.gallery.workshop import Workshop

TITLE = "Forecasts of spatio-temporal chaos"


@dataclass(frozen=True)
class Case:
    """A system of the smoke: its specification, its training, its integration step, a remark."""

    name: str
    system: str
    train: str
    step: float
    remark: str


CASES = (
    Case("Lorenz-96", "lorenz96_smoke", "lorenz96_smoke", 0.01, ""),
    Case(
        "Kuramoto–Sivashinsky",
        "kuramoto_sivashinsky_l22_smoke",
        "kuramoto_sivashinsky_smoke",
        0.05,
        " (the mean of the ring is free in the closed loop, a neutral direction more than in the "
        "system's spectrum, which leaves it out)",
    ),
)


Count = Annotated[int, Field(ge=1)]
OneEach = tuple[Count, Count]
"""A number for each of the systems."""


class Settings(Config):
    """Length of trainings and measurements; the rest is that of the smoke's specifications.

    steps
        Training steps, for Lorenz-96 and for Kuramoto–Sivashinsky.
    exponents, exponent_time
        Lyapunov exponents of each closed loop, and Lyapunov times over which they are measured.
    initial_conditions, horizon
        Forecasts of each system, and their length in Lyapunov times.
    spectrum_steps
        Steps of each of 4 trajectories that measure the exponents of each system.
    """

    steps: OneEach = (5000, 2500)
    exponents: OneEach = (30, 10)
    exponent_time: float = Field(8.0, gt=0)
    initial_conditions: int = Field(32, ge=1)
    horizon: float = Field(12.0, gt=0)
    spectrum_steps: OneEach = (4000, 16_000)


QUICK: Table = {
    "steps": [5, 5], "exponents": [2, 2], "exponent_time": 0.2, "initial_conditions": 2,
    "horizon": 1.0, "spectrum_steps": [50, 50],
}  # fmt: skip


def make(settings: Settings, workshop: Workshop) -> Made:
    """Train on both systems and draw what a report draws, and the Lyapunov spectra."""
    pictures: list[Picture] = []
    told = []
    each = zip(CASES, settings.steps, settings.exponents, settings.spectrum_steps, strict=True)
    for case, steps, number, measured in each:
        run = workshop.train(
            case.train, workshop.simulate(case.system), "--train.steps", steps,
            "--train.backend", "none", "--train.validate_every", 0, "--train.checkpoint_every", 0,
            "--forecast.initial_conditions", settings.initial_conditions,
            "--forecast.horizon", settings.horizon,
            "--forecast.attractor.exponents", number,
            "--forecast.attractor.exponent_time", settings.exponent_time,
        )  # fmt: skip
        forecasts, problem = read_forecasts(run)
        if forecasts is None:
            raise HpcbenchError(f"{run}: {problem}")
        model = model_exponents(run)
        spectra = Spectra(system_exponents(case.system, case.step, len(model), measured, 4), model)
        found = {"LSTM": forecasts}
        pictures += [*example_pictures(case.name, found), error_picture(case.name, found)]
        pictures += climate_pictures(case.name, found)[:1]  # the spectra
        pictures.append(spectra.picture(f"lyapunov_{case.system}", case.name))
        told.append(
            f"{case.name}: valid for {np.mean(forecasts.vpt):.1f} Lyapunov times "
            f"(mean of {len(forecasts.vpt)}), {spectra.sentence()}"
            f"{case.remark}"
        )
    return Made("; ".join(told) + ".", pictures, workshop.commands)
