"""What somebody outside brings along: a system, a cell, a method, an optimiser, in one module."""

import numpy as np
import torch
from torch import Tensor, nn

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method
from sims.systems.flows.flow import Flow
from sims.systems.system import Exponent


class Rotation(Flow):
    """dx/dt = ω y,  dy/dt = −ω x."""

    name = "rotation"

    class Parameters(Config):
        """Angular velocity ω."""

        angular_velocity: float

    @property
    def num_components(self) -> int:
        return 2

    def rhs(self, x: np.ndarray) -> np.ndarray:
        return self.parameters.angular_velocity * np.stack([x[..., 1], -x[..., 0]], axis=-1)

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.rhs(v)

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        return random.normal(size=2)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        return None


class Leaky(nn.Module):
    """h ← a h + (1 − a) W x, averaged over time by a fixed share."""

    STEPWISE = True

    class Options(Config):
        """The share a that is kept."""

        kept: float = 0.5

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: "Leaky.Options") -> None:
        super().__init__()
        self.kept = options.kept
        self.linear = nn.Linear(num_inputs, hidden)

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        outputs = []
        hidden = torch.zeros_like(self.linear(inputs[:, 0])) if state is None else state[0][0]
        for time in range(inputs.shape[1]):
            hidden = self.kept * hidden + (1 - self.kept) * self.linear(inputs[:, time])
            outputs.append(hidden)
        return torch.stack(outputs, 1), (hidden[None],)


class OneStep(Method):
    """The loss of every step of a window, from the carried state."""

    class Options(Config):
        """A factor of the loss."""

        factor: float = 1.0

    def __init__(self, forecaster: Forecaster, options: "OneStep.Options") -> None:
        super().__init__(forecaster)
        self.factor = options.factor

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        inputs, following = states[:, :-1], states[:, 1:]
        scaled, after = self.forecaster(inputs.to(self.forecaster.dtype), state)
        target = self.forecaster.scaled_target(inputs, following)
        loss = self.factor * ((scaled.double() - target) ** 2).mean()
        return loss, tuple(part.detach() for part in after)


class SignOptions(Config):
    """Steps of one length, by the signs of the gradient."""

    momentum: float = 0.0

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Rprop(parameters, lr=1e-2)
