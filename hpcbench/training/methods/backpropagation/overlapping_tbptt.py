"""Truncated backpropagation whose gradients reach further back than a window is long."""

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method, detached

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class OverlappingTBPTT(Method):
    r"""Every :math:`k_1` steps, backpropagate :math:`k_2 \ge k_1` steps.

    .. math::

        \ell = \frac{1}{B k_1 D} \sum_{t = n k_1 + 1}^{(n+1) k_1} \| y_t - \hat y_t \|^2, \qquad
        \frac{\partial h_{(n+1) k_1 - k_2}}{\partial \theta} := 0

    :math:`k_1` is the window, :math:`k_2` is ``reach``. Every step is a target once; its error
    reaches back over the steps before the window too (the BPTT(h; h') of Williams and Peng
    1990). With :math:`k_2 = k_1` this is ``tbptt``; with :math:`k_2` as long as the state is
    carried, the full gradient of each window's error. It costs :math:`k_2 / k_1` times the
    operations.

    The carried state holds the inputs of the last :math:`k_2 - k_1` steps and the network's
    state before them.
    """

    class Options(Config):
        """Steps that gradients reach back; at least the window."""

        reach: int = Field(32, ge=1)

    def __init__(self, forecaster: Forecaster, options: "OverlappingTBPTT.Options") -> None:
        super().__init__(forecaster)
        self.reach = options.reach

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse a reach shorter than the window."""
        reach, window = config.train.method_options().reach, config.train.window
        if reach < window:
            raise InputError(
                f"train.options.reach: given {reach}, shorter than train.window = {window}; the "
                "errors of a window reach back over all of it (k2 >= k1): give at least "
                f"{window}, or a shorter window"
            )

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of the new steps, and what the next window needs."""
        dtype = self.forecaster.dtype
        inputs, following = states[:, :-1], states[:, 1:]
        window = inputs.shape[1]
        target = self.forecaster.scaled_target(inputs, following).to(dtype)
        inputs = inputs.to(dtype)
        before: State | None = None
        if state is not None:
            held, *rest = state
            inputs = torch.cat([held[0], inputs], 1)
            before = tuple(rest) or None
        # the steps that the next window need not repeat
        leaving = max(inputs.shape[1] - (self.reach - window), 0)
        outputs = []
        if leaving:
            scaled, before = self.forecaster(inputs[:, :leaving], before)
            outputs.append(scaled)
        kept = before
        if leaving < inputs.shape[1]:
            scaled, _ = self.forecaster(inputs[:, leaving:], before)
            outputs.append(scaled)
        loss = nn.functional.mse_loss(torch.cat(outputs, 1)[:, -window:], target)
        carried = (inputs[None, :, leaving:], *(kept or ()))
        return loss, detached(carried)
