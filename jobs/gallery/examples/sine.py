"""A sine wave forecast from windows of twenty samples: the first example of many a lecture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from analysis.plots.panels import Line, Panel, panels
from hpcbench.config.tree import Config, Table
from hpcbench.models.config import cell_class
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop

Array = npt.NDArray[np.float64]
Predict = Callable[[Array], float]
"""The value that follows a window ``(time,)``."""

TITLE = "A sine wave, from windows of twenty samples"


class Settings(Config):
    """The series, the network and its training.

    num_samples, num_training
        Samples of sin t over two periods, and how many of them come first and train.
    window
        Samples that the network sees before it gives the next one.
    cells
        What is trained: vanilla network and LSTM.
    """

    num_samples: int = Field(1000, ge=3)
    num_training: int = Field(800, ge=2)
    window: int = Field(20, ge=2)
    cells: list[str] = Field(default_factory=lambda: ["elman", "lstm"])
    hidden: int = Field(64, ge=1)
    batch: int = Field(32, ge=1)
    epochs: int = Field(100, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    seed: int = Field(1, ge=0)


QUICK: Table = {"epochs": 2, "hidden": 8, "num_samples": 200, "num_training": 160}


class WindowNetwork(nn.Module):
    r"""Many to one: the last hidden units of a cell after a window give the next value.

    .. math::

        \hat x_{t+1} = V h_t + c
    """

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        kind = cell_class(cell)
        self.cell = kind(1, hidden, 1, kind.Options())
        self.head = nn.Linear(hidden, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the next value ``(batch,)`` of windows ``(batch, time)``."""
        hidden, _ = self.cell(windows[..., None], None)
        return self.head(hidden[:, -1])[:, 0]


@dataclass(frozen=True)
class Series:
    """Times and values of the wave, and what each network made of it.

    time, truth
        ``(sample,)``; the first ``num_training`` samples are for training.
    training, validation
        Mean squared error after each epoch, ``(epoch,)``.
    forecast
        Recursive forecast of all samples after the training part.
    """

    time: Array
    truth: Array
    training: Mapping[str, Array]
    validation: Mapping[str, Array]
    forecast: Mapping[str, Array]


def sine_wave(num_samples: int) -> tuple[Array, Array]:
    """Return t and sin t over two periods, both ends included."""
    time = np.linspace(0.0, 4.0 * np.pi, num_samples)
    return time, np.sin(time)


def windows_of(values: Array, window: int) -> tuple[Array, Array]:
    """Return all windows ``(example, window)`` of a series and the value after each."""
    return np.lib.stride_tricks.sliding_window_view(values[:-1], window), values[window:]


def recursive_forecast(predict: Predict, before: Array, num_steps: int) -> Array:
    """Return ``num_steps`` forecasts: the window slides over the forecasts themselves."""
    window, forecast = np.array(before), np.empty(num_steps)
    for step in range(num_steps):
        forecast[step] = predict(window)
        window = np.append(window[1:], forecast[step])
    return forecast


def exact_prediction(angle: float) -> Predict:
    r"""Return :math:`x_{t+1} = 2 \cos(\omega h)\, x_t - x_{t-1}`: a sine needs no more."""
    return lambda window: float(2.0 * np.cos(angle) * window[-1] - window[-2])


def train(network: WindowNetwork, settings: Settings, values: Array) -> tuple[Array, Array]:
    """Train on the first part of a series; return both errors after every epoch."""
    (seen, wanted), (unseen, target) = (
        tuple(torch.from_numpy(np.ascontiguousarray(part)).float() for part in pair)
        for pair in (
            windows_of(values[: settings.num_training], settings.window),
            windows_of(values[settings.num_training - settings.window :], settings.window),
        )
    )
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    order = torch.Generator().manual_seed(settings.seed)
    errors = np.empty((2, settings.epochs))
    for epoch in range(settings.epochs):
        for rows in torch.randperm(len(seen), generator=order).split(settings.batch):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(seen[rows]), wanted[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            errors[:, epoch] = [
                float(nn.functional.mse_loss(network(x), y))
                for x, y in ((seen, wanted), (unseen, target))
            ]
    return errors[0], errors[1]


def compute(settings: Settings) -> Series:
    """Train each cell and let it forecast what it was not trained on."""
    time, values = sine_wave(settings.num_samples)
    begin = settings.num_training
    training, validation, forecast = {}, {}, {}
    for cell in settings.cells:
        torch.manual_seed(settings.seed)
        network = WindowNetwork(cell, settings.hidden)
        training[cell], validation[cell] = train(network, settings, values)

        @torch.no_grad()
        def predict(window: Array, network: WindowNetwork = network) -> float:
            return float(network(torch.from_numpy(window).float()[None]))

        before = values[begin - settings.window : begin]
        forecast[cell] = recursive_forecast(predict, before, len(values) - begin)
    return Series(time, values, training, validation, forecast)


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw the losses, and the forecasts over the wave."""
    series = compute(settings)
    names = {"elman": "vanilla RNN", "lstm": "LSTM"}
    losses = {}
    for index, cell in enumerate(settings.cells):
        epochs = np.arange(1, settings.epochs + 1)
        label = names.get(cell, cell)
        losses[f"{label}, training"] = Line(epochs, series.training[cell], colour=2 * index)
        losses[f"{label}, validation"] = Line(epochs, series.validation[cell], colour=2 * index + 1)
    begin = settings.num_training
    later = series.time[begin:]
    drawn = slice(max(0, 2 * begin - len(series.truth)), None)  # as much before as after
    waves = {"truth": Line(series.time[drawn], series.truth[drawn], look="reference")}
    errors = {}
    for index, cell in enumerate(settings.cells):
        label = names.get(cell, cell)
        waves[label] = Line(later, series.forecast[cell], colour=index)
        error = np.abs(series.forecast[cell] - series.truth[begin:])
        errors[label] = Line(later, error, colour=index)
    worst = {cell: float(np.abs(series.forecast[cell] - series.truth[begin:]).max())
             for cell in settings.cells}  # fmt: skip
    found = ", ".join(
        f"{names.get(c, c)} {series.validation[c][-1]:.1e} (largest forecast error {worst[c]:.2f})"
        for c in settings.cells
    )
    return Made(
        f"Validation error after {settings.epochs} epochs: {found}; the recursive forecast of the "
        f"last {len(later)} samples sees nothing but its own output after the first "
        f"{settings.window} of them.",
        [
            panels(
                [Panel("", losses, "epoch", "mean squared error (1)", logarithmic="y")],
                name="sine_loss", height=2.8, title="Sine: training and validation loss",
                alt=f"Loss of vanilla network and LSTM over {settings.epochs} epochs; {found}",
            ),
            panels(
                [
                    Panel("", waves, "t (radians)", "x (1)"),
                    Panel("error of the forecast", errors, "t (radians)", "|x̂ − x| (1)",
                          logarithmic="y"),
                ],
                name="sine_forecast", title="Sine: recursive forecast after the training part",
                alt="A sine wave and the recursive forecasts of the part after the training, with "
                "their errors below",
            ),
        ],
    )  # fmt: skip
