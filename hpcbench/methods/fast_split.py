r"""Fast training of LSTMs by splitting the cell: a reconstruction, not a reproduction.

Inspired by "Fast Training of Deep LSTM Networks" (Yu, Li and Gonzalez, ISNN 2019, and the
journal version, Neurocomputing 422, 2021), whose abstracts say that the cell is separated into
forward and recurrent substructures and trained by a method like backpropagation, with an MLP on
top. The papers' equations were not available; what follows is our own reading of the abstracts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from hpcbench.config import Config
from hpcbench.errors import InputError
from hpcbench.methods.method import Method, detached, require_cell
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.models.stepped_lstm import LSTMLayer
from hpcbench.models.stepping import Stack
from hpcbench.windows import RowRandom

if TYPE_CHECKING:
    from hpcbench.run_config import RunConfig

SPLIT_CELLS = ("lstm", "stepped_lstm")
"""Cells with the plain LSTM's equations."""


@dataclass(frozen=True)
class LayerWeights:
    """Weights of one LSTM layer, gates i, f, g, o: ``(4 H, D)``, ``(4 H, H)``, ``(4 H,)``."""

    inputs: Tensor
    recurrent: Tensor
    bias: Tensor


def lstm_layers(core: nn.Module) -> list[LayerWeights]:
    """Return the weights of a plain LSTM, layer by layer, whichever class holds them."""
    if isinstance(core, Stack):
        layers = [layer for layer in core.layers if isinstance(layer, LSTMLayer)]
        return [LayerWeights(layer.weight_ih, layer.weight_hh, layer.bias) for layer in layers]
    cell = core.cell
    assert isinstance(cell, nn.LSTM)
    return [
        LayerWeights(
            getattr(cell, f"weight_ih_l{index}"),
            getattr(cell, f"weight_hh_l{index}"),
            getattr(cell, f"bias_ih_l{index}") + getattr(cell, f"bias_hh_l{index}"),
        )
        for index in range(cell.num_layers)
    ]


class SplitLayer(torch.autograd.Function):
    r"""One LSTM layer whose backward pass cuts the hidden units' way through time.

    Forward, it is the LSTM. Backward, the gates are a static map of :math:`x_t` and of
    :math:`h_{t-1}` taken as data; only the cell, diagonal and linear, links the steps:

    .. math::

        \delta c_t &= \epsilon_t \odot o_t \odot (1 - \tanh^2 c_t)
                      + \delta c_{t+1} \odot f_{t+1} \\
        \delta a^i &= \delta c \odot g \odot i(1-i), \quad
        \delta a^f = \delta c \odot c_{t-1} \odot f(1-f), \quad
        \delta a^g = \delta c \odot i \odot (1-g^2), \quad
        \delta a^o = \epsilon \odot \tanh c \odot o(1-o) \\
        \nabla W &= \sum_t \delta a_t x_t^\top, \quad \nabla U = \sum_t \delta a_t h_{t-1}^\top,
        \quad \nabla b = \sum_t \delta a_t, \quad \delta x_t = W^\top \delta a_t

    with :math:`\epsilon_t` the gradient of :math:`h_t` from the head and the layer above. The
    term :math:`U^\top \delta a_{t+1}` of the full gradient is missing, and with it the chain of
    products over time: gradients through time are bounded by :math:`\prod f \le 1`, and what
    remains is an elementwise scan and one product per weight matrix over all steps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        hidden: Tensor,
        cell: Tensor,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor,
        through_cell: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return hidden units ``(batch, time, hidden)`` and the last cell."""
        num_steps, size = inputs.shape[1], hidden.shape[1]
        steps = inputs.transpose(0, 1).contiguous()
        gates = inputs.new_empty(num_steps, len(inputs), 4 * size)
        hiddens = inputs.new_empty(num_steps + 1, len(inputs), size)
        cells, squashed = torch.empty_like(hiddens), torch.empty_like(hiddens[1:])
        hiddens[0], cells[0] = hidden, cell
        for t, present in enumerate(steps):
            gate = gates[t]
            torch.addmm(bias, present, weight.T, out=gate)
            gate.addmm_(hiddens[t], recurrent.T)
            gate[:, : 2 * size].sigmoid_()
            gate[:, 2 * size : 3 * size].tanh_()
            gate[:, 3 * size :].sigmoid_()
            i, f, g, o = gate.chunk(4, 1)
            torch.mul(f, cells[t], out=cells[t + 1])
            cells[t + 1].addcmul_(i, g)
            torch.tanh(cells[t + 1], out=squashed[t])
            torch.mul(o, squashed[t], out=hiddens[t + 1])
        ctx.save_for_backward(steps, gates, hiddens, cells, squashed, weight)
        ctx.through_cell = through_cell
        return hiddens[1:].transpose(0, 1), cells[-1]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        """Return the gradients of the inputs and the weights; the state's are cut."""
        steps, gates, hiddens, cells, squashed, weight = ctx.saved_tensors
        credit = outer[0].transpose(0, 1)
        i, f, g, o = gates.chunk(4, 2)
        to_cell = credit * o * (1 - squashed**2)
        if ctx.through_cell:
            for t in reversed(range(len(steps) - 1)):
                to_cell[t].addcmul_(to_cell[t + 1], f[t + 1])
        drive = torch.cat(
            [
                to_cell * g * i * (1 - i),
                to_cell * cells[:-1] * f * (1 - f),
                to_cell * i * (1 - g**2),
                credit * squashed * o * (1 - o),
            ],
            2,
        )
        flat = drive.flatten(0, 1)
        to_inputs = None
        if ctx.needs_input_grad[0]:
            to_inputs = (drive @ weight).transpose(0, 1)
        return (
            to_inputs,
            None,
            None,
            flat.T @ steps.flatten(0, 1),
            flat.T @ hiddens[:-1].flatten(0, 1),
            flat.sum(0),
            None,
        )


def split_pass(
    layers: Sequence[LayerWeights],
    rows: Tensor,
    state: State | None,
    through_cell: bool = True,
    apart: bool = False,
) -> tuple[list[Tensor], State]:
    """Return every layer's hidden units ``(row, time, hidden)`` and the state after the last.

    ``apart`` cuts gradients between the layers too.
    """
    outputs: list[Tensor] = []
    after = []
    for index, layer in enumerate(layers):
        if state is None:
            hidden = cell = rows.new_zeros(len(rows), layer.recurrent.shape[1])
        else:
            hidden, cell = state[0][index], state[1][index]
        weights = layer.inputs, layer.recurrent, layer.bias
        present = rows if index == 0 else outputs[-1]
        if apart:
            present = present.detach()
        output, last = SplitLayer.apply(present, hidden, cell, *weights, through_cell)
        outputs.append(output)
        after.append((output[:, -1].detach(), last.detach()))
    hidden, cell = (torch.stack(parts) for parts in zip(*after, strict=True))
    return outputs, (hidden, cell)


class FastSplit(Method):
    r"""One-step prediction, trained with the split backward pass of :class:`SplitLayer`.

    The head is trained by ordinary backpropagation on the hidden units. With ``local_heads``
    every layer below the uppermost has a linear head of its own that predicts the target, and
    learns from it alone: no gradient passes between layers, and the loss is the mean over heads
    (greedy training). Forecasts use the uppermost head.

    With no recurrent weights, or windows of one step, the gradient is that of ``tbptt``.
    """

    THROUGH_CELL: ClassVar[bool] = True

    class Options(Config):
        """Whether every layer learns from a head of its own."""

        local_heads: bool = False

    def __init__(self, forecaster: Forecaster, options: "FastSplit.Options") -> None:
        super().__init__(forecaster)
        self.local_heads = options.local_heads
        layers = lstm_layers(forecaster.core)
        size = layers[0].recurrent.shape[1]
        num_outputs = 1 if forecaster.local else forecaster.num_inputs
        self.heads = nn.ModuleList(
            nn.Linear(size, num_outputs, dtype=forecaster.dtype, device=layers[0].bias.device)
            for _ in layers[1:]
            if options.local_heads
        )

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse cells with other equations than the LSTM's."""
        require_cell(config, SPLIT_CELLS, "splits the plain LSTM")
        if config.train.method_options().local_heads and config.model.layers == 1:
            raise InputError(
                "train.options.local_heads: true gives the layers below the uppermost heads of "
                "their own, and model.layers is 1; give at least 2, or false"
            )

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it."""
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        inputs = states[:, :-1]
        target = forecaster.outputs(forecaster.scaled_target(inputs, states[:, 1:]).to(dtype))
        rows = forecaster.rows(inputs.to(dtype))
        layers = lstm_layers(forecaster.core)
        hidden, state = split_pass(layers, rows, state, self.THROUGH_CELL, self.local_heads)
        loss = nn.functional.mse_loss(forecaster.read_out(hidden[-1], rows), target)
        for head, below in zip(self.heads, hidden, strict=False):
            loss = loss + nn.functional.mse_loss(head(below), target)
        return loss / (1 + len(self.heads)), detached(state)


class FastOneStep(FastSplit):
    """The split pass that also cuts the cell's way through time: nothing links the steps.

    The gradient of truncated backpropagation over one step with a carried state.
    """

    THROUGH_CELL = False
