"""Large-batch optimisers with one trust ratio for each layer: LARS and LAMB (You et al.)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.config.tree import Config


def trust_ratio(weight: Tensor, step: Tensor) -> float:
    """Return ``|weight| / |step|``, or 1 where one of them vanishes."""
    length, stride = float(weight.norm()), float(step.norm())
    return length / stride if length > 0 and stride > 0 else 1.0


class LARS(Optimizer):
    r"""Momentum with a rate proportional to the length of each layer's weights.

    .. math::

        \eta_\ell = \eta\, \kappa\, \frac{\|w\|}{\|g\| + \beta \|w\|}, \qquad
        v \leftarrow \mu v + \eta_\ell (g + \beta w), \qquad w \leftarrow w - v

    Without decay :math:`\beta` the step does not depend on the scale of the gradient (You et al.
    2017, arXiv:1708.03888).
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.9,
        decay: float = 0.0,
        trust: float = 1.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["velocity"] = torch.zeros_like(parameter)
                gradient, decay = parameter.grad, group["decay"]
                length, slope = float(parameter.norm()), float(gradient.norm())
                ratio = length / (slope + decay * length) if length > 0 and slope > 0 else 1.0
                rate = group["lr"] * group["trust"] * ratio
                step = gradient + decay * parameter
                state["velocity"].mul_(group["momentum"]).add_(step, alpha=rate)
                parameter -= state["velocity"]


class LAMB(Optimizer):
    r"""Adam with a rate proportional to the length of each layer's weights.

    .. math::

        r = \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda w, \qquad
        w \leftarrow w - \eta \frac{\|w\|}{\|r\|} r

    (You et al. 2020, arXiv:1904.00962).
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["mean"] = torch.zeros_like(parameter)
                    state["square"] = torch.zeros_like(parameter)
                state["step"] += 1
                count = int(state["step"])
                state["mean"].lerp_(parameter.grad, 1 - first)
                state["square"].lerp_(parameter.grad.square(), 1 - second)
                mean = state["mean"] / (1 - first**count)
                square = state["square"] / (1 - second**count)
                step = mean / (square.sqrt() + group["eps"]) + group["decay"] * parameter
                parameter -= group["lr"] * trust_ratio(parameter, step) * step


class LARSOptions(Config):
    """Options of LARS: momentum, weight decay and the trust coefficient."""

    momentum: float = Field(0.9, ge=0, lt=1)
    decay: float = Field(0.0, ge=0)
    trust: float = Field(1.0, gt=0)

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        return LARS(parameters, momentum=self.momentum, decay=self.decay, trust=self.trust)


class LAMBOptions(Config):
    """Options of LAMB: as of Adam, and weight decay."""

    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-6, gt=0)
    decay: float = Field(0.0, ge=0)

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        betas = self.beta1, self.beta2
        return LAMB(parameters, betas=betas, eps=self.epsilon, decay=self.decay)
