"""Recurrent networks on their own: they oscillate, settle, or are chaotic."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor

from analysis.plots.panels import Line, Panel, panels
from hpcbench.config.tree import Config, Table
from hpcbench.forecasting.model_lyapunov import Map, lyapunov_spectrum
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop

Array = npt.NDArray[np.float64]

TITLE = "Oscillate, settle or chaos"


class Settings(Config):
    """Networks without input, h ← φ(W h).

    units
        N of the random networks, with W normal of variance g² / N and φ = tanh.
    gains
        Values of g of the curve.
    networks
        Random networks for each of them.
    transient, measured
        Steps before and in a measurement of the exponent.
    drawn, drawn_network
        Steps that are drawn, and which of the random networks, counted from 0.
    """

    units: int = Field(100, ge=2)
    gains: list[float] = Field(default_factory=lambda: [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])
    networks: int = Field(8, ge=1)
    transient: int = Field(300, ge=0)
    measured: int = Field(1000, ge=1)
    drawn: int = Field(80, ge=1)
    drawn_network: int = Field(3, ge=0)
    angle: float = 0.3
    norm: float = Field(0.9, gt=0, lt=1)
    seed: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _network_exists(self) -> "Settings":
        if self.drawn_network >= self.networks:
            raise ValueError(
                f"drawn_network: given {self.drawn_network}; valid: 0 to {self.networks - 1}"
            )
        return self


QUICK: Table = {"units": 20, "networks": 2, "transient": 50, "measured": 100,
                         "gains": [0.5, 1.0, 1.5], "drawn_network": 1}  # fmt: skip

DRAWN_GAINS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Case:
    """A network that is drawn: its units over time ``(time, unit)`` and its largest exponent."""

    label: str
    units: Array
    exponent: float


def rotation(angle: float) -> Tensor:
    """Return the rotation of the plane by an angle."""
    c, s = np.cos(angle), np.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def random_weights(number: int, units: int, seed: int) -> Tensor:
    """Return normal matrices of variance 1 / N, ``(number, N, N)``."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(number, units, units, dtype=torch.float64, generator=random)
    return drawn / units**0.5


def linear_map(weights: Tensor) -> Map:
    """Return h ← W h."""
    return lambda rows: rows @ weights.T


def tanh_maps(weights: Tensor) -> Map:
    """Return h ← tanh(W h) with a W ``(row, N, N)`` for each row."""
    return lambda rows: torch.tanh((weights @ rows[..., None])[..., 0])


def exponents(step: Map, starts: Tensor, settings: Settings) -> Array:
    """Return the largest Lyapunov exponent per step from each start."""
    found = lyapunov_spectrum(
        step, starts, 1, settings.measured, transient=settings.transient, seed=settings.seed
    )
    return np.asarray(found.rates[:, 0])


def trajectory(step: Map, start: Tensor, num_steps: int) -> Array:
    """Return the units after each step, the start first, ``(num_steps + 1, N)``."""
    states = [start[None]]
    for _ in range(num_steps):
        states.append(step(states[-1]))
    return torch.cat(states).numpy()


def random_exponents(settings: Settings) -> Array:
    """Return the exponents of all random networks, ``(gain, network)``."""
    weights = random_weights(settings.networks, settings.units, settings.seed)
    gains = torch.tensor(settings.gains, dtype=torch.float64)
    every = (gains[:, None, None, None] * weights).flatten(0, 1)
    random = torch.Generator().manual_seed(settings.seed + 1)
    starts = torch.randn(len(every), settings.units, dtype=torch.float64, generator=random)
    return exponents(tanh_maps(every), starts, settings).reshape(len(gains), -1)


def cases(settings: Settings) -> list[Case]:
    """Return the networks that are drawn: a rotation, a contraction, three random ones."""
    random = torch.Generator().manual_seed(settings.seed + 1)
    start = torch.randn(settings.units, dtype=torch.float64, generator=random)
    chosen = settings.drawn_network
    weights = random_weights(settings.networks, settings.units, settings.seed)[[chosen]]
    contraction = settings.norm * weights / torch.linalg.matrix_norm(weights, 2)
    turn = linear_map(rotation(settings.angle))
    found = [
        ("rotation, linear: oscillates", turn, torch.tensor([1.0, 0.0], dtype=torch.float64)),
        (f"‖W‖ = {settings.norm:g}, tanh: settles", tanh_maps(contraction), start),
        *((f"random, g = {gain:g}", tanh_maps(gain * weights), start) for gain in DRAWN_GAINS),
    ]
    return [
        Case(
            label,
            trajectory(step, first, settings.drawn),
            float(exponents(step, first[None], settings)[0]),
        )
        for label, step, first in found
    ]


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw three units of each network, and the exponent against the gain."""
    shown = []
    for case in cases(settings):
        steps = np.arange(len(case.units))
        drawn = range(min(3, case.units.shape[1]))
        units = {f"_unit {k}": Line(steps, case.units[:, k]) for k in drawn}
        exponent = 0.0 if abs(case.exponent) < 5e-4 else case.exponent
        title = f"{case.label}; λ₁ = {exponent:.3f}"
        shown.append(Panel(title, units, "step", "units h (1)", key=False))
    rates = random_exponents(settings)
    mean = rates.mean(axis=1)
    curve = Line(np.array(settings.gains), mean, rates.min(axis=1), rates.max(axis=1), look="both")
    title = f"λ₁ of {settings.networks} networks: mean, range"
    shown.append(Panel(title, {"_λ₁": curve}, "gain g (1)", "λ₁ (1 / step)", levels=(0.0,)))
    told = ", ".join(
        f"{value:+.3f} at g = {gain:g}"
        for gain, value in zip(settings.gains, mean, strict=True)
        if gain in DRAWN_GAINS
    )
    sentence = (
        "A rotation oscillates for ever, weights of norm below one settle, and random tanh "
        f"networks of {settings.units} units turn chaotic near g = 1: largest Lyapunov exponent "
        f"per step, mean of {settings.networks} networks, {told}."
    )
    picture = panels(
        shown, columns=2, name="regimes", title="What recurrent networks do on their own",
        alt=sentence, height=1.75,
    )  # fmt: skip
    return Made(sentence, [picture])
