"""Backpropagation through time written out for the vanilla network: the teaching reference."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.models.simple.elman import ElmanLayer
from hpcbench.training.methods.method import (
    Method,
    require_cell,
    require_linear_head,
    with_gradient,
)

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


@dataclass(frozen=True)
class Weights:
    """Weights of a vanilla network with a linear head, or their gradients.

    .. math::

        a_t = U x_t + W h_{t-1} + b, \\quad h_t = \\tanh a_t, \\quad \\hat y_t = V h_t + c
    """

    U: Tensor
    W: Tensor
    b: Tensor
    V: Tensor
    c: Tensor


def forward_pass(weights: Weights, inputs: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Return hidden units ``(time + 1, batch, hidden)`` and outputs ``(time, batch, output)``.

    The hidden units are the stack that the backward pass takes from; the first is ``start``.
    ``inputs`` is ``(time, batch, input)``.
    """
    hidden = [start]
    for x in inputs:
        hidden.append(torch.tanh(x @ weights.U.T + hidden[-1] @ weights.W.T + weights.b))
    stack = torch.stack(hidden)
    return stack, stack[1:] @ weights.V.T + weights.c


def backward_pass(weights: Weights, inputs: Tensor, hidden: Tensor, errors: Tensor) -> Weights:
    r"""Return the gradients of the weights, given those of the outputs.

    .. math::

        \delta h_t &= V^\top \delta y_t
            + W^\top \mathrm{diag}(1 - h_{t+1}^2)\, \delta h_{t+1}, \qquad
        g_t = (1 - h_t^2) \odot \delta h_t \\
        \nabla U &= \sum_t g_t x_t^\top, \quad \nabla W = \sum_t g_t h_{t-1}^\top, \quad
        \nabla b = \sum_t g_t, \quad
        \nabla V = \sum_t \delta y_t h_t^\top, \quad \nabla c = \sum_t \delta y_t

    The pass is linear in ``errors`` :math:`\delta y`, ``(time, batch, output)``.
    """
    gradient = Weights(*(torch.zeros_like(value) for value in vars(weights).values()))
    from_later = torch.zeros_like(hidden[0])
    for t in reversed(range(len(inputs))):
        after, before = hidden[t + 1], hidden[t]
        delta = errors[t] @ weights.V + from_later
        g = (1 - after**2) * delta
        gradient.V.add_(errors[t].T @ after)
        gradient.c.add_(errors[t].sum(0))
        gradient.U.add_(g.T @ inputs[t])
        gradient.W.add_(g.T @ before)
        gradient.b.add_(g.sum(0))
        from_later = g @ weights.W
    return gradient


class BPTTByHand(Method):
    """Truncated backpropagation through time with :func:`backward_pass` in place of autograd.

    The same loss and gradient as ``tbptt``; it shows what autograd does.
    """

    def __init__(self, forecaster: Forecaster, options: object) -> None:
        super().__init__(forecaster)

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse all but one layer of the vanilla tanh network with a linear head."""
        require_cell(config, ["elman"], "is written out for the vanilla network")
        require_linear_head(config)
        model = config.model
        if model.layers != 1 or model.skip or model.cell_options().activation != "tanh":
            raise InputError(
                f'train.method "{config.train.method}" is written out for model.layers = 1, '
                'model.skip = false and the activation "tanh"; choose these, or method "tbptt"'
            )

    @torch.no_grad()
    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the state after it."""
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        layer = forecaster.core.layers[0]
        head = forecaster.head
        assert isinstance(layer, ElmanLayer)
        assert isinstance(head, nn.Linear)
        weights = Weights(layer.weight_ih, layer.weight_hh, layer.bias, head.weight, head.bias)
        target = forecaster.scaled_target(states[:, :-1], states[:, 1:]).to(dtype)
        inputs = forecaster.rows(states[:, :-1].to(dtype)).transpose(0, 1)
        start = inputs.new_zeros(inputs.shape[1], len(layer.bias)) if state is None else state[0][0]
        hidden, outputs = forward_pass(weights, inputs, start)
        errors = outputs - forecaster.outputs(target).transpose(0, 1)
        gradient = backward_pass(weights, inputs, hidden, 2 * errors / errors.numel())
        with torch.enable_grad():
            loss = with_gradient(
                errors.square().mean(), list(vars(weights).values()), list(vars(gradient).values())
            )
        return loss, (hidden[-1][None],)
