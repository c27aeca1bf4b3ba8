"""The learning rate of every step: warm-up, decay, and how it follows the global batch."""

import math
from typing import Literal

from torch.optim import Optimizer

Scaling = Literal["none", "linear", "sqrt", "legw"]
"""How the learning rate follows the global batch."""


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


def scaled_schedule(
    scaling: Scaling, factor: float, peak: float, num_warm_up: int
) -> tuple[float, int]:
    r"""Return the largest learning rate and the steps of warm-up for a larger batch.

    With the batch :math:`k` times the reference batch:

    ======= ================================ ===================================================
    linear  :math:`k \eta`                   Goyal et al. 2017
    sqrt    :math:`\sqrt k\, \eta`           Krizhevsky 2014
    legw    :math:`\sqrt k\, \eta`           and :math:`k` times the epochs of warm-up (You et al.
                                             2019): an epoch has :math:`1/k` of the steps, so the
                                             number of *steps* stays
    ======= ================================ ===================================================

    With ``linear`` and ``sqrt`` the epochs of warm-up stay: :math:`1/k` of the steps.

    Parameters
    ----------
    scaling
        The rule; ``none`` changes nothing.
    factor
        Global batch over reference batch, :math:`k`.
    peak, num_warm_up
        Largest rate and steps of warm-up at the reference batch.
    """
    if scaling == "none":
        return peak, num_warm_up
    growth = factor if scaling == "linear" else math.sqrt(factor)
    steps = num_warm_up if scaling == "legw" else math.ceil(num_warm_up / factor)
    return peak * growth, steps


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = value
