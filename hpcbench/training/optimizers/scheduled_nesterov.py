"""Nesterov's accelerated gradient with a growing momentum (Sutskever et al. 2013)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from hpcbench.config.tree import Config


def momentum(step: int, largest: float) -> float:
    r"""Return :math:`\mu_t = \min(1 - 2^{-1-\log_2(\lfloor t/250 \rfloor + 1)}, \mu_{max})`."""
    return min(1 - 2 ** (-1 - math.log2(step // 250 + 1)), largest)


class ScheduledNesterov(Optimizer):
    r"""Momentum that looks ahead, growing from 0.5 towards its largest value.

    .. math::

        v_{t+1} = \mu_t v_t - \eta \nabla L(\theta_t + \mu_t v_t), \qquad
        \theta_{t+1} = \theta_t + v_{t+1}

    The parameters hold the point :math:`\theta_t + \mu_t v_t` where the gradient is taken.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        largest: float = 0.99,
    ) -> None:
        super().__init__(params, {"lr": lr, "largest": largest})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["velocity"] = torch.zeros_like(parameter)
                count, velocity = int(state["step"]), state["velocity"]
                now = momentum(count, group["largest"])
                following = momentum(count + 1, group["largest"])
                parameter -= now * velocity  # back to the point looked ahead from
                velocity.mul_(now).add_(parameter.grad, alpha=-group["lr"])
                parameter += (1 + following) * velocity
                state["step"] += 1


class ScheduledNesterovOptions(Config):
    """Options of the scheduled momentum: its largest value (0.9 to 0.999 in the paper)."""

    largest: float = Field(0.99, ge=0.5, lt=1)

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        return ScheduledNesterov(parameters, largest=self.largest)
