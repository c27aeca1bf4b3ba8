"""The damped driven oscillator as a recurrent network with identity activation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from analysis.plots.panels import Line, Panel, panels
from hpcbench.config.tree import Config, Table
from hpcbench.models.simple.elman import Elman, ElmanLayer, ElmanOptions
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop
from sims.systems.flows.driven_oscillator import DrivenOscillator, DrivenOscillatorParameters

Array = npt.NDArray[Any]

TITLE = "An oscillator is a recurrent network"


class Settings(Config):
    """The oscillator, its Euler step, and the training of a network that has to find it.

    damping, drive_frequency
        η and Ω; the force is cos Ω t when it is a test, and random in training.
    step, num_steps
        h and the length of both series; stable for h < η only.
    hold
        Steps over which the random force of the training stays the same.
    iterations
        Of L-BFGS.
    """

    damping: float = Field(0.2, gt=0)
    drive_frequency: float = 0.9
    step: float = Field(0.05, gt=0)
    num_steps: int = Field(1200, ge=2)
    training_steps: int = Field(400, ge=2)
    hold: int = Field(20, ge=1)
    iterations: int = Field(80, ge=1)
    seed: int = Field(1, ge=0)


QUICK: Table = {"num_steps": 200, "training_steps": 60, "iterations": 3}


class Oscillator(nn.Module):
    r"""A linear recurrent network from force to displacement.

    .. math::

        s_{t+1} = W s_t + U F_t, \qquad \hat x_t = V s_t
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        options = ElmanOptions(activation="identity")
        self.cell = Elman(1, hidden, 1, options).double()
        self.read = nn.Linear(hidden, 1, bias=False).double()

    @property
    def layer(self) -> ElmanLayer:
        """The only layer of the cell, which holds W and U."""
        (layer,) = self.cell.layers
        assert isinstance(layer, ElmanLayer)
        return layer

    def forward(self, force: Tensor, start: Tensor) -> Tensor:
        """Return the displacement after every step ``(time,)`` from a state ``(hidden,)``."""
        hidden, _ = self.cell(force[None, :, None], (start[None, None],))
        return self.read(hidden)[0, :, 0]


@torch.no_grad()
def linked_network(damping: float, step: float) -> Oscillator:
    r"""Return the network that is Euler's method, with the state (x, v).

    .. math::

        W = I + h \begin{pmatrix} 0 & 1 \\ -1 & -\eta \end{pmatrix}, \quad
        U = \begin{pmatrix} 0 \\ h \end{pmatrix}, \quad V = (1, 0)

    Its spectral radius is :math:`\sqrt{1 - \eta h + h^2}`.
    """
    network = Oscillator(2)
    rate = torch.tensor([[0.0, 1.0], [-1.0, -damping]], dtype=torch.float64)
    network.layer.weight_hh.copy_(torch.eye(2, dtype=torch.float64) + step * rate)
    network.layer.weight_ih.copy_(torch.tensor([[0.0], [step]], dtype=torch.float64))
    network.layer.bias.zero_()
    network.read.weight.copy_(torch.tensor([[1.0, 0.0]]))
    return network


def euler_solution(settings: Settings) -> tuple[Array, Array]:
    """Return states (x, v) of ``num_steps`` Euler steps from rest, and the forces.

    They are ``(num_steps + 1, 2)`` and ``(num_steps,)``.
    """
    parameters = DrivenOscillatorParameters(
        damping=settings.damping, drive_amplitude=1.0, drive_frequency=settings.drive_frequency
    )
    take_step = DrivenOscillator(parameters, "euler").stepper(settings.step)
    states = np.empty((settings.num_steps + 1, 3))
    states[0] = 0.0
    for n in range(settings.num_steps):
        states[n + 1] = take_step(states[n])
    return states[:, :2], np.cos(states[:-1, 2])


def held_noise(settings: Settings) -> Array:
    """Return a random force that changes now and then, ``(training_steps,)``."""
    random = np.random.default_rng(settings.seed)
    number = -(-settings.training_steps // settings.hold)
    return np.repeat(random.standard_normal(number), settings.hold)[: settings.training_steps]


def train(settings: Settings) -> Oscillator:
    """Return a network that saw forces and displacements only, both from rest."""
    force = torch.from_numpy(held_noise(settings))
    rest = torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        target = linked_network(settings.damping, settings.step)(force, rest)
    torch.manual_seed(settings.seed)
    network = Oscillator(2)
    with torch.no_grad():  # remembers, and does not turn yet
        near = 0.97 * torch.eye(2) + 0.02 * torch.randn(2, 2)
        network.layer.weight_hh.copy_(near)
    network.layer.bias.requires_grad_(False)  # the oscillator at rest stays there
    scale = float(target.square().mean())
    optimizer = torch.optim.LBFGS(
        [p for p in network.parameters() if p.requires_grad],
        max_iter=settings.iterations, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-14, tolerance_change=1e-16,
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (network(force, rest) - target).square().mean() / scale
        value.backward()
        return value

    optimizer.step(loss)
    return network


@dataclass(frozen=True)
class Series:
    """Displacements after every step, ``(time,)``, and what describes the networks."""

    time: Array
    euler: Array
    linked: Array
    trained: Array
    eigenvalues: Array


def compute(settings: Settings) -> Series:
    """Return Euler's solution, the network that equals it, and one that was trained."""
    states, force = euler_solution(settings)
    truth = states[1:, 0]
    network = train(settings)
    with torch.no_grad():
        forces, rest = torch.from_numpy(force), torch.from_numpy(states[0].copy())
        exact = linked_network(settings.damping, settings.step)(forces, rest).numpy()
        learned = network(forces, rest).numpy()
        eigenvalues = torch.linalg.eigvals(network.layer.weight_hh).numpy()
    time = settings.step * np.arange(1, settings.num_steps + 1)
    return Series(time, truth, exact, learned, np.abs(eigenvalues))


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw both networks over Euler's solution, and their errors."""
    series = compute(settings)
    errors = {
        "W from the equation": np.abs(series.linked - series.euler),
        "trained": np.abs(series.trained - series.euler),
    }
    most = {label: float(error.max()) for label, error in errors.items()}
    radius = np.sqrt(1 - settings.damping * settings.step + settings.step**2)
    sentence = (
        f"With W = I + h [[0, 1], [−1, −η]] the network equals Euler's method to "
        f"{most['W from the equation']:.0e}; trained on forces and displacements alone, it finds "
        f"the oscillator to {most['trained']:.0e}, with |eigenvalue| {series.eigenvalues[0]:.6f} "
        f"(exact: √(1 − ηh + h²) = {radius:.6f})."
    )
    curves = {
        "Euler": Line(series.time, series.euler, look="reference"),
        "W from the equation": Line(series.time, series.linked),
        "trained": Line(series.time, series.trained),
    }
    apart = {  # no error at all has no place on a logarithmic axis
        label: Line(series.time, np.where(error > 0, error, np.nan))
        for label, error in errors.items()
    }
    title = "Damped driven oscillator as an identity RNN"
    return Made(
        sentence,
        [
            panels(
                [
                    Panel("", curves, "t (model time units)", "displacement x (1)"),
                    Panel("error", apart, "t (model time units)", "|x̂ − x| (1)", logarithmic="y"),
                ],
                name="oscillator", title=title, alt=sentence,
            )
        ],
    )  # fmt: skip
