"""Gradient descent whose rate falls where the gradient is steep."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from hpcbench.config.tree import Config


class StableSGD(Optimizer):
    r"""Gradient descent with a normalised rate.

    .. math::

        \theta \leftarrow \theta - \frac{\eta}{1 + \|g\|^2}\, g

    with :math:`\|g\|` the norm of the whole, averaged gradient: a step is never longer than
    :math:`\eta / 2`. In the style of the rates that keep the identification error bounded in the
    work of Yu and colleagues; the norm of the loss gradient stands here for that of the output's.
    """

    def __init__(
        self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3
    ) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        trained = [
            (parameter, group["lr"])
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        square = sum(float(parameter.grad.double().square().sum()) for parameter, _ in trained)
        for parameter, rate in trained:
            parameter -= rate / (1 + square) * parameter.grad


class StableSGDOptions(Config):
    """Gradient descent with a normalised rate has no options."""

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        return StableSGD(parameters)
