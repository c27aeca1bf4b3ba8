"""Training on several free steps, with and without gradients through the predictions."""

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.forcing.forcing import forced_run
from hpcbench.training.methods.method import Method, detached

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class MultiStepOptions(Config):
    r"""Options of multi-step training.

    free_steps
        Predictions :math:`K` in a row at the end of each window, the first from the truth.
    discount
        Factor :math:`\gamma` on the squared error of each further prediction.
    """

    free_steps: int = Field(4, ge=1)
    discount: float = Field(1.0, gt=0, le=1)


class MultiStep(Method):
    r"""Teacher forcing, then free running at the end of the window.

    .. math::

        \ell = \frac{1}{B D \sum_t w_t} \sum_{t} w_t \| \hat y_t - y_t \|^2, \qquad
        w_t = \gamma^{k-1} \;\text{for the } k\text{-th application}\; F^k(x)

    Steps on the truth count as first applications. With one free step this is ``tbptt``. Where
    the state is carried on, it is the one that has seen the truth.
    """

    TAKES_DELAYS = True
    Options = MultiStepOptions
    THROUGH: ClassVar[bool] = True
    """Whether gradients pass through the predictions that are fed back."""

    def __init__(self, forecaster: Forecaster, options: MultiStepOptions) -> None:
        super().__init__(forecaster)
        self.options = options

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse more free steps than a window has."""
        free, window = config.train.method_options().free_steps, config.train.window
        if free > window:
            raise InputError(
                f"train.options.free_steps: given {free}, but train.window has {window} steps; "
                f"give 1 to {window}, or a longer window"
            )

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the weighted squared error of a window and the detached state after it."""
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        num_free = self.options.free_steps - 1
        num_forced = states.shape[1] - 1 - num_free
        inputs, following = states[:, :num_forced], states[:, 1 : num_forced + 1]
        scaled, state = forecaster(inputs.to(dtype), state)
        errors = scaled - forecaster.scaled_target(inputs, following).to(dtype)
        weights = torch.ones(num_forced + num_free, dtype=dtype, device=errors.device)
        carried = state
        if num_free:
            predicted = forecaster.next_state(inputs[:, -1:], scaled[:, -1:])
            if not self.THROUGH:
                predicted = predicted.detach()
            share = states.new_zeros(1, num_free)
            tail = states[:, num_forced:]
            free, _, _ = forced_run(forecaster, tail, state, predicted, share, self.THROUGH)
            errors = torch.cat([errors, free], 1)
            powers = torch.arange(1, num_free + 1, dtype=dtype, device=errors.device)
            weights[num_forced:] = self.options.discount**powers
            with torch.no_grad():
                _, carried = forecaster(tail[:, :-1].to(dtype), state)
        squares = errors.square().mean(dim=(0, 2))
        return (weights * squares).sum() / weights.sum(), detached(carried)


class Pushforward(MultiStep):
    r"""Multi-step training that cuts gradients at every prediction fed back.

    .. math::

        F\bigl(\mathrm{sg}(F(\cdots \mathrm{sg}(F(x)))\bigr)

    The network learns to correct the errors of its own predictions, as if they were noise,
    without learning to make others (Brandstetter et al. 2022). The recurrent state keeps its
    gradient within the window.
    """

    THROUGH = False
