"""Optimisers by name and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim import Optimizer

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, foreach=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1.0),
    "nesterov": lambda parameters: torch.optim.SGD(parameters, lr=1.0, momentum=0.9, nesterov=True),
}
"""Optimiser name → how to build it; the schedule sets the learning rate before every step."""


def learning_rate(
    step: int, num_steps: int, peak: float, final_share: float, num_warm_up: int
) -> float:
    r"""Return the learning rate of a step: linear warm-up, then half a cosine.

    .. math::

        \eta_s = \eta \left[ r + (1 - r)\, \tfrac12
        \left(1 + \cos \pi \tfrac{s - w}{S - w} \right) \right] \quad (s \ge w)

    Parameters
    ----------
    step, num_steps
        This step, counted from 0, and all steps :math:`S`.
    peak, final_share
        Largest rate :math:`\eta`; the last rate as a share :math:`r` of it.
    num_warm_up
        Steps :math:`w` over which the rate grows from :math:`\eta / w` to :math:`\eta`.
    """
    if step < num_warm_up:
        return peak * (step + 1) / num_warm_up
    progress = (step - num_warm_up) / max(num_steps - num_warm_up, 1)
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress)))


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = value
