"""Scheduled sampling and curricula: from the truth to own predictions, or the other way."""

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.forcing.forcing import ForcedMethod


class ScheduledSamplingOptions(Config):
    r"""Options of scheduled sampling.

    schedule
        How the share goes from ``first`` to ``last``: ``constant`` at first, ``linear`` over all
        steps, ``exponential`` as :math:`k^i`, ``inverse_sigmoid`` as :math:`k / (k + e^{i/k})`.
    decay
        The :math:`k` of the last two: below 1, at least 1.
    first, last
        Probability of the truth at the beginning and in the end; an increasing curriculum has
        ``first < last``.
    choice
        ``random``: every input is drawn; ``prefix``: the window starts on that share of truth.
    through
        Whether gradients pass through predictions that are fed back.
    """

    schedule: Literal["constant", "linear", "exponential", "inverse_sigmoid"] = "linear"
    decay: float | None = Field(None, gt=0)
    first: float = Field(1.0, ge=0, le=1)
    last: float = Field(0.0, ge=0, le=1)
    choice: Literal["random", "prefix"] = "random"
    through: bool = True

    @model_validator(mode="after")
    def _decay_fits(self) -> "ScheduledSamplingOptions":
        fits = {
            "exponential": self.decay is not None and self.decay < 1,
            "inverse_sigmoid": self.decay is not None and self.decay >= 1,
        }
        if not fits.get(self.schedule, self.decay is None):
            raise ValueError(
                f"decay does not fit schedule = {self.schedule}, given {self.decay}: exponential "
                "needs one below 1, inverse_sigmoid one of at least 1, the others none"
            )
        return self


class ScheduledSampling(ForcedMethod):
    r"""Feed the truth with probability :math:`\epsilon_i`, else the network's own prediction.

    .. math::

        \epsilon_i = \epsilon_{last} + (\epsilon_{first} - \epsilon_{last})\, s(i), \qquad
        s(i) = 1 - \tfrac{i}{N}, \quad k^i \quad\text{or}\quad \tfrac{k}{k + e^{i/k}}

    at training step :math:`i` of :math:`N` (Bengio et al. 2015; curricula after Teutsch and
    Mäder 2022). :math:`\epsilon = 1` is teacher forcing, :math:`\epsilon = 0` free running.
    Every row draws its own numbers, whichever rank it lies on.
    """

    Options = ScheduledSamplingOptions

    def __init__(self, forecaster: Forecaster, options: ScheduledSamplingOptions) -> None:
        super().__init__(forecaster, options)
        self.options = options

    def probability(self, step: int) -> float:
        """Return the probability of the truth at a training step."""
        options = self.options
        decay = options.decay or 0.0
        if options.schedule == "constant":
            remaining = 1.0
        elif options.schedule == "linear":
            remaining = 1 - step / self.num_steps
        elif options.schedule == "exponential":
            remaining = decay**step
        else:  # k / (k + exp(i/k)), written so that it cannot overflow
            remaining = decay * math.exp(-step / decay) / (decay * math.exp(-step / decay) + 1)
        return options.last + (options.first - options.last) * remaining

    def share(self, states: Tensor, state: State | None, random: RowRandom) -> Tensor:
        """Return 1 where the truth is fed and 0 elsewhere, ``(batch, window)``."""
        window = states.shape[1] - 1
        probability = self.probability(random.step)
        if self.options.choice == "prefix":
            return (torch.arange(window) < round(probability * window)).double()[None]
        return (random.uniform((window,)) < probability).double()
