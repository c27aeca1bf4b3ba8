"""How much of the full gradient the split backward pass keeps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from analysis.plots.panels import Line, Panel, panels
from hpcbench.config.tree import Config, Table
from hpcbench.console import progress
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.windows import RowRandom, read_windows
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, training_scaling
from hpcbench.training.methods.method import Method
from hpcbench.training.methods.registry import method_class
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop

Array = npt.NDArray[np.float64]

TITLE = "Split gradient against backpropagation through time"

GROUPS = {"W (inputs)": "weight_ih", "U (recurrent)": "weight_hh", "b (bias)": "bias"}
"""What a parameter's name contains → group of an LSTM's parameters."""

PAIR = ("fast_split", "tbptt")


class Settings(Config):
    """A local LSTM on Lorenz-96, in float64.

    windows
        Window lengths at which the gradients are compared before training.
    window
        The one that training uses.
    probes
        Windows over which the compared gradients are averaged.
    measure_every
        Training steps between two comparisons.
    """

    hidden: int = Field(32, ge=1)
    windows: list[int] = Field(default_factory=lambda: [1, 2, 4, 8, 16, 32, 64])
    window: int = Field(16, ge=1)
    probes: int = Field(16, ge=1)
    batch: int = Field(8, ge=1)
    steps: int = Field(400, ge=1)
    measure_every: int = Field(20, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    seed: int = Field(1, ge=0)


QUICK: Table = {"hidden": 4, "windows": [1, 4], "window": 4, "probes": 2, "batch": 2,
                         "steps": 4, "measure_every": 2}  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """Cosine of two gradients and ratio of their norms, the first over the second."""

    cosine: float
    ratio: float


def agreement(first: Tensor, second: Tensor) -> Agreement:
    """Compare two gradients as flat vectors."""
    sizes = first.norm(), second.norm()
    return Agreement(float(first @ second / (sizes[0] * sizes[1])), float(sizes[0] / sizes[1]))


def gradients(method: Method, states: Tensor) -> dict[str, Tensor]:
    """Return the gradient of a method's loss on whole windows from the zero state, by parameter.

    states
        ``(row, window + 1, component)``, normalised.
    """
    method.zero_grad()
    loss, _ = method(states, None, RowRandom(0, 0, range(len(states))))
    loss.backward()
    named = method.forecaster.named_parameters()
    return {name: p.grad.flatten().clone() for name, p in named if p.grad is not None}


def grouped(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of each group of parameters, and of all, the head included."""
    parts = {
        group: torch.cat([g for name, g in found.items() if key in name and "core" in name])
        for group, key in GROUPS.items()
    }
    return {**parts, "all parameters": torch.cat(list(found.values()))}


def compare(methods: Mapping[str, Method], states: Tensor) -> dict[str, Agreement]:
    """Return how the split gradient agrees with the full one, by group."""
    split, full = (grouped(gradients(methods[name], states)) for name in PAIR)
    return {group: agreement(split[group], full[group]) for group in full}


def methods_of(dataset: Dataset, settings: Settings) -> dict[str, Method]:
    """Return both methods on one new forecaster."""
    torch.manual_seed(settings.seed)
    forecaster = Forecaster(ModelConfig(hidden=settings.hidden), training_scaling(dataset))
    forecaster.set_dtype(torch.float64)
    kinds = {name: method_class(name) for name in PAIR}
    return {name: kind(forecaster, kind.Options()) for name, kind in kinds.items()}


def draw_windows(
    dataset: Dataset, method: Method, number: int, window: int, random: np.random.Generator
) -> Tensor:
    """Return random windows of the training trajectories, normalised."""
    members = random.choice(dataset.members("train"), number)
    starts = random.integers(0, dataset.num_samples - window - 1, number)
    windows = read_windows(dataset, members, starts, window + 1)
    return method.forecaster.normalise(torch.from_numpy(windows))


def over_windows(dataset: Dataset, settings: Settings) -> list[dict[str, Agreement]]:
    """Return the agreement before training at each window length."""
    methods = methods_of(dataset, settings)
    found = []
    for window in settings.windows:
        random = np.random.default_rng(settings.seed)
        states = draw_windows(dataset, methods["tbptt"], settings.probes, window, random)
        found.append(compare(methods, states))
    return found


def over_training(dataset: Dataset, settings: Settings, trainer: str) -> list[Agreement]:
    """Return the agreement of all parameters while one of the methods trains."""
    methods = methods_of(dataset, settings)
    random = np.random.default_rng(settings.seed)
    probes = draw_windows(dataset, methods[trainer], settings.probes, settings.window, random)
    optimizer = torch.optim.Adam(methods[trainer].parameters(), settings.learning_rate)
    found = []
    with progress(settings.steps, f"training by {trainer}") as advance:
        for step in range(settings.steps + 1):
            if step % settings.measure_every == 0:
                found.append(compare(methods, probes)["all parameters"])
            states = draw_windows(
                dataset, methods[trainer], settings.batch, settings.window, random
            )
            optimizer.zero_grad()
            methods[trainer](states, None, RowRandom(0, step, range(len(states))))[0].backward()
            optimizer.step()
            advance(1)
    return found


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw cosine and norm ratio against the window length, and during training."""
    data = workshop.simulate("lorenz96_smoke")
    with open_dataset(data) as dataset:
        windows = over_windows(dataset, settings)
        training = {name: over_training(dataset, settings, name) for name in PAIR}
    lengths = np.array(settings.windows)
    steps = np.arange(len(training["tbptt"])) * settings.measure_every

    def curves(field: str) -> tuple[dict[str, Line], dict[str, Line]]:
        groups = {
            group: Line(lengths, np.array([getattr(at[group], field) for at in windows]),
                         look="both")
            for group in windows[0]
        }  # fmt: skip
        trained = {
            f"trained by {name}": Line(steps, np.array([getattr(at, field) for at in found]))
            for name, found in training.items()
        }
        return groups, trained

    (cosines, cosines_later), (ratios, ratios_later) = curves("cosine"), curves("ratio")
    over, later = "window (steps)", "training step"
    shown = [
        Panel("before training", cosines, over, "cosine (1)", logarithmic="x", key=False),
        Panel(f"during training, window {settings.window}", cosines_later, later, "cosine (1)"),
        Panel("", ratios, over, "ratio of norms (1)", logarithmic="x"),
        Panel("", ratios_later, later, "ratio of norms (1)", key=False),
    ]
    first, last = windows[0]["all parameters"], windows[-1]["all parameters"]
    ends = {name: found[-1] for name, found in training.items()}
    sentence = (
        f"On Lorenz-96 the gradients of fast_split and of full backpropagation enclose a cosine of "
        f"{first.cosine:.4f} at windows of {lengths[0]} and {last.cosine:.3f} at {lengths[-1]} "
        f"before training (ratio of norms {last.ratio:.2f}); at windows of {settings.window}, "
        f"after {settings.steps} training steps, "
        + " and ".join(f"{end.cosine:.2f} where {name} trained (ratio {end.ratio:.2f})"
                       for name, end in ends.items())
        + "."
    )  # fmt: skip
    picture = panels(
        shown, columns=2, name="split_gradient", alt=sentence, height=2.2,
        title="Gradient of fast_split against backpropagation through time",
    )  # fmt: skip
    return Made(sentence, [picture], workshop.commands)
