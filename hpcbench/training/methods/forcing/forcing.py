"""Running on a mixture of the truth and the network's own predictions."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method, detached, require_cell, stepwise_cells

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


def forced_run(
    forecaster: Forecaster,
    states: Tensor,
    state: State | None,
    predicted: Tensor | None,
    share: Tensor,
    through: bool = True,
    pull_state: bool = False,
) -> tuple[Tensor, State, Tensor]:
    r"""Return scaled errors, the state after the last step, and the next predicted state.

    .. math::

        \tilde x_t = \alpha_t x_t + (1 - \alpha_t) \hat x_t, \qquad
        \hat x_{t+1}, s_{t+1} = F(\tilde x_t, s_t)

    Every step calls the forecaster once, for one step: no kernel can be fused over time.

    Parameters
    ----------
    states
        True states ``(batch, time + 1, component)``, normalised, float64.
    state, predicted
        State of the network and predicted first state ``(batch, 1, component)``; without one
        the first input is the truth.
    share
        Share of the truth :math:`\alpha`, ``(batch or 1, time)``.
    through
        Whether gradients pass through the predictions that are fed back.
    pull_state
        Also move the hidden units of the uppermost layer towards values that give the true
        output: :math:`\tilde h = h + \alpha V^+ (y - \hat y)`.
    """
    dtype, num_steps = forecaster.dtype, states.shape[1] - 1
    errors = []
    for step in range(num_steps):
        truth = states[:, step : step + 1]
        alpha = share[:, step, None, None]
        if predicted is None or bool((alpha == 1).all()):
            present = truth
        else:
            mixed = alpha * truth + (1 - alpha) * predicted
            present = torch.where(alpha == 1, truth, mixed)
        scaled, state = forecaster(present.to(dtype), state)
        target = forecaster.scaled_target(present, states[:, step + 1 : step + 2])
        error = scaled - target.to(dtype)
        errors.append(error)
        predicted = forecaster.next_state(present, scaled)
        if not through:
            predicted = predicted.detach()
        if pull_state and step + 1 < num_steps:
            state = _pulled(forecaster, state, share[:, step + 1, None, None] * error)
    assert state is not None
    assert predicted is not None
    return torch.cat(errors, 1), state, predicted


def _pulled(forecaster: Forecaster, state: State, error: Tensor) -> State:
    """Return the state with the uppermost hidden units moved against an error of the output."""
    head = forecaster.head
    assert isinstance(head, nn.Linear)
    shift = forecaster.outputs(error)[:, 0] @ torch.linalg.pinv(head.weight.detach()).T
    hidden = torch.cat([state[0][:-1], state[0][-1:] - shift], 0)
    return (hidden, *state[1:])


class ForcedMethod(Method):
    """Base of the methods that train on :func:`forced_run`; they differ in the share of truth.

    The carried state is the network's, and the predicted state ``(1, batch, component)``.
    """

    def __init__(self, forecaster: Forecaster, options: Config) -> None:
        super().__init__(forecaster)
        self.through = bool(getattr(options, "through", True))
        self.pull_state = False

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse fused cells: what a kernel fuses over time cannot be fed its own output."""
        require_cell(
            config,
            stepwise_cells(config),
            "runs the cell on its own predictions, one step at a time, where a kernel that is "
            "fused over time gains nothing",
        )

    def share(self, states: Tensor, state: State | None, random: RowRandom) -> Tensor:
        """Return the share of the truth in every input, ``(batch or 1, window)``."""
        raise NotImplementedError

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it."""
        before, predicted = apart(state)
        share = self.share(states, before, random).to(states.device)
        errors, after, predicted = forced_run(
            self.forecaster, states, before, predicted, share, self.through, self.pull_state
        )
        return errors.square().mean(), detached((*after, predicted.transpose(0, 1)))


def apart(state: State | None) -> tuple[State | None, Tensor | None]:
    """Return a carried state as the network's state and the prediction ``(batch, 1, ...)``."""
    if state is None:
        return None, None
    return state[:-1], state[-1].transpose(0, 1)
