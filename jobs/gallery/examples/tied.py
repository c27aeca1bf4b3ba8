"""What sharing weights over time is worth: the unfolded network, tied and untied."""

from pathlib import Path

import h5py
import numpy as np
from pydantic import Field

from analysis.plots.dots import dot_plot
from hpcbench.config.tree import Config, Table
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop

TITLE = "Tied and untied weights"

TAIL = 50
"""Last steps over which the training loss is averaged."""


class Settings(Config):
    """A vanilla network on a few short pieces of a noisy sine, few enough to overfit.

    window
        Steps of the unfolded network; the untied one has weights of its own for each.
    """

    window: int = Field(8, ge=2)
    samples: int = Field(24, ge=2)
    trajectories: int = Field(200, ge=10)
    training_share: float = Field(0.1, gt=0, lt=0.9)
    hidden: int = Field(8, ge=1)
    batch: int = Field(16, ge=1)
    steps: int = Field(4000, ge=1)
    seeds: list[int] = Field(default_factory=lambda: [1, 2, 3], min_length=2)


QUICK: Table = {"steps": 3, "seeds": [1, 2], "hidden": 4, "window": 4}


def losses(run: Path) -> tuple[float, float]:
    """Return the training loss at the end of a run, and its validation loss."""
    with h5py.File(run / "metrics.h5") as file:
        return float(np.mean(file["loss"][-TAIL:])), float(file["validation_loss"][-1])


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw training and validation loss of both."""
    rest = 1 - settings.training_share
    data = workshop.simulate(
        "noisy_sine", "--sampling.num_trajectories", settings.trajectories,
        "--sampling.num_samples", settings.samples,
        "--sampling.split", f"[{settings.training_share:g}, {rest:g}, 0.0]",
    )  # fmt: skip
    cells = {
        "tied": ("--model.cell", "elman"),
        "untied": ("--model.cell", "untied", "--model.options.steps", settings.window),
    }
    found: dict[str, list[tuple[float, float]]] = {label: [] for label in cells}
    for label, options in cells.items():
        for seed in settings.seeds:
            run = workshop.train(
                "lorenz63_gallery", data, *options, "--seed", seed,
                "--model.target", "state", "--embedding.observe_every", 4,
                "--model.hidden", settings.hidden, "--train.window", settings.window,
                "--train.carry", settings.window, "--train.global_batch", settings.batch,
                "--train.steps", settings.steps, "--train.validate_every", 0,
                "--forecast.initial_conditions", 0,
            )  # fmt: skip
            found[label].append(losses(run))
    gap = {
        label: np.mean([later / seen for seen, later in pairs]) for label, pairs in found.items()
    }
    sentence = (
        f"Trained on {round(settings.training_share * settings.trajectories)} pieces of "
        f"{settings.samples} samples of a noisy sine, the validation loss is {gap['tied']:.2f} "
        f"times the training loss with shared weights and {gap['untied']:.2f} times with weights "
        f"of its own at each of {settings.window} steps."
    )
    picture = dot_plot(
        {
            "training": {label: [seen for seen, _ in pairs] for label, pairs in found.items()},
            "validation": {label: [later for _, later in pairs] for label, pairs in found.items()},
        },
        xlabel="mean squared error (variance of the series)", name="tied",
        title="Vanilla network on few data: weights shared, and one set for each step",
    )  # fmt: skip
    return Made(sentence, [picture], workshop.commands)
