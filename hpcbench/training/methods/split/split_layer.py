"""The LSTM layer whose backward pass is split: no gradient through the hidden units' past."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hpcbench.models.forecaster import State
from hpcbench.models.gated.stepped_lstm import LSTMLayer
from hpcbench.models.stepping import Stack

aten = torch.ops.aten

PRODUCT_ROWS = 2048
"""Rows (of all sequences and some steps) in one product of the backward pass: what they need stays
in the cache, and the product is long enough."""

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
    remains is an elementwise scan, and one product
    :math:`\sum_t \delta a_t z_t^\top` with :math:`z_t = (x_t, h_{t-1}, 1)` for all weights, over as
    many steps at once as the cache has room for.
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
        num_rows, num_steps, width = inputs.shape
        size = hidden.shape[1]
        joined = torch.cat([weight, recurrent, bias[:, None]], 1)
        z = inputs.new_empty(num_steps + 1, num_rows, width + size + 1)
        z[:-1, :, :width] = inputs.transpose(0, 1)
        z[..., -1] = 1
        hiddens = z[..., width:-1]
        gates = inputs.new_empty(num_steps, num_rows, 4 * size)
        cells = inputs.new_empty(num_steps + 1, num_rows, size)
        squashed = torch.empty_like(cells[1:])
        hiddens[0], cells[0] = hidden, cell
        for t, gate in enumerate(gates):
            torch.mm(z[t], joined.T, out=gate)
            gate[:, : 2 * size].sigmoid_()
            gate[:, 2 * size : 3 * size].tanh_()
            gate[:, 3 * size :].sigmoid_()
            i, f, g, o = gate.chunk(4, 1)
            torch.mul(f, cells[t], out=cells[t + 1])
            cells[t + 1].addcmul_(i, g)
            torch.tanh(cells[t + 1], out=squashed[t])
            torch.mul(o, squashed[t], out=hiddens[t + 1])
        ctx.save_for_backward(z, gates, cells, squashed, weight)
        ctx.through_cell = through_cell
        return hiddens[1:].transpose(0, 1), cells[-1]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        """Return the gradients of the inputs and the weights; the state's are cut."""
        z, gates, cells, squashed, weight = ctx.saved_tensors
        num_steps, num_rows, size = squashed.shape
        width = weight.shape[1]
        credit = outer[0].transpose(0, 1)
        to_inputs = (
            credit.new_empty(num_steps, num_rows, width) if ctx.needs_input_grad[0] else None
        )
        to_weights = weight.new_zeros(4 * size, z.shape[2])
        chunk = max(1, PRODUCT_ROWS // num_rows)
        drive = credit.new_empty(chunk, num_rows, 4 * size)
        from_later = None
        for t in reversed(range(num_steps)):
            i, f, g, o = gates[t].chunk(4, 1)
            to_i, to_f, to_g, to_o = drive[t % chunk].split(size, 1)
            to_cell = aten.tanh_backward(credit[t] * o, squashed[t])
            if from_later is not None:
                to_cell += from_later
            aten.sigmoid_backward(to_cell * g, i, grad_input=to_i)
            aten.sigmoid_backward(to_cell * cells[t], f, grad_input=to_f)
            aten.tanh_backward(to_cell * i, g, grad_input=to_g)
            aten.sigmoid_backward(credit[t] * squashed[t], o, grad_input=to_o)
            if ctx.through_cell:
                from_later = to_cell.mul_(f)
            if t % chunk == 0:
                after = min(t + chunk, num_steps)
                flat = drive[: after - t].flatten(0, 1)
                to_weights.addmm_(flat.T, z[t:after].flatten(0, 1))
                if to_inputs is not None:
                    torch.mm(flat, weight, out=to_inputs[t:after].flatten(0, 1))
        parts = to_weights.split([width, size, 1], 1)
        if to_inputs is not None:
            to_inputs = to_inputs.transpose(0, 1)
        return to_inputs, None, None, parts[0], parts[1], parts[2][:, 0], None


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
