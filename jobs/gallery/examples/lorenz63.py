"""The Lorenz attractor, learned by a recurrent network."""

import numpy as np
from pydantic import Field

from analysis import plots
from analysis.records.series import read_forecasts
from hpcbench.config.tree import Config, Table
from hpcbench.errors import HpcbenchError
from hpcbench.run.record import read_result
from jobs.gallery.examples import Made
from jobs.gallery.spectra import Spectra, model_exponents, system_exponents
from jobs.gallery.workshop import Workshop

TITLE = "A learned Lorenz attractor"
SPEC = "lorenz63"
INTERVAL = 0.02
"""Model time between two samples."""


class Settings(Config):
    """Size of the dataset and of the training; the rest is jobs/specs/lorenz63_gallery.toml.

    spectrum_steps
        Steps of each of 8 trajectories that measure the system's exponents.
    exponent_time
        Lyapunov times over which those of the closed loop are measured.
    """

    trajectories: int = Field(96, ge=10)
    samples: int = Field(1600, ge=2)
    steps: int = Field(6000, ge=1)
    spectrum_steps: int = Field(20_000, ge=1)
    exponent_time: float = Field(100.0, gt=0)
    seed: int = Field(1, ge=0)


QUICK: Table = {"samples": 1500, "steps": 20, "spectrum_steps": 100, "exponent_time": 1.0}


def make(settings: Settings, workshop: Workshop) -> Made:
    """Train, run free, and draw attractors and spectra."""
    data = workshop.simulate(
        SPEC, "--integration.step", INTERVAL / 2, "--sampling.sample_interval", INTERVAL,
        "--sampling.num_trajectories", settings.trajectories,
        "--sampling.num_samples", settings.samples, "--sampling.split", "[0.5, 0.1, 0.4]",
    )  # fmt: skip
    run = workshop.train(
        "lorenz63_gallery", data, "--train.steps", settings.steps, "--seed", settings.seed,
        "--forecast.attractor.exponent_time", settings.exponent_time,
    )  # fmt: skip
    forecasts, problem = read_forecasts(run)
    if forecasts is None:
        raise HpcbenchError(f"{run}: {problem}")
    found = Spectra(
        system_exponents(SPEC, INTERVAL / 2, 3, settings.spectrum_steps, 8), model_exponents(run)
    )
    result = read_result(run)
    left = result.number("divergence_rate")
    runs = next(metric.n for metric in result.metrics if metric.name == "divergence_rate")
    sentence = (
        f"Of {runs} closed loops {round(left * runs)} leave the attractor within 20 Lyapunov "
        f"times; {found.sentence()}; forecasts are valid for {np.mean(forecasts.vpt):.1f} "
        f"Lyapunov times (mean of {len(forecasts.vpt)})."
    )
    length = forecasts.time[-1]
    attractors = plots.attractors(
        {"truth": forecasts.truth[0], "LSTM in closed loop": forecasts.forecast[0]},
        components=(0, 2), labels=("x (1)", "z (1)"), name="lorenz63_attractor",
        title=f"Lorenz-63 over {length:.0f} Lyapunov times from the same start",
    )  # fmt: skip
    return Made(
        sentence,
        [attractors, found.picture("lorenz63_lyapunov", "Lorenz-63")],
        workshop.commands,
    )
