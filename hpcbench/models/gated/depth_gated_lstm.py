"""The depth-gated LSTM (Yao et al. 2015): a gate between the cells of neighbouring layers."""

import torch
from torch import Tensor, nn

from hpcbench.models.gated.stepped_lstm import GatedOptions, LSTMLayer
from hpcbench.models.stepping import State, widths


class DepthGatedLayer(LSTMLayer):
    """One layer; it reads the output and the cell of the layer below."""

    def __init__(
        self, num_inputs: int, hidden: int, options: "DepthGatedLSTM.Options", lowest: bool
    ) -> None:
        super().__init__(num_inputs, hidden, options)
        self.depth_ih = nn.Linear(num_inputs, hidden)
        nn.init.constant_(self.depth_ih.bias, options.depth_bias)
        self.depth_cell = nn.Parameter(torch.zeros(hidden))
        if lowest:
            self.project = nn.Linear(num_inputs, hidden, bias=False)
        else:
            self.depth_below = nn.Parameter(torch.zeros(hidden))

    def joined_step(
        self, inputs: Tensor, state: State, below: Tensor | None
    ) -> tuple[Tensor, State]:
        """Return the hidden units and the state, given the new cell of the layer below."""
        before, old = state
        i, f, g, o = self.activations(inputs, before)
        gate = self.depth_ih(inputs) + self.depth_cell * old
        if below is None:
            below = self.project(inputs)
        else:
            gate = gate + self.depth_below * below
        cell = torch.sigmoid(f) * old + torch.sigmoid(i) * torch.tanh(g)
        cell = cell + torch.sigmoid(gate) * below
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        return hidden, (hidden, cell)


class DepthGatedLSTM(nn.Module):
    r"""Stacked LSTM layers whose cells are linked through the depth.

    .. math::

        d &= \sigma(W_d x_t^\ell + w_c \odot c_{t-1}^\ell + w_l \odot c_t^{\ell-1} + b_d) \\
        c_t^\ell &= f \odot c_{t-1}^\ell + i \odot g + d \odot c_t^{\ell-1}

    with the gates of the LSTM and :math:`x_t^\ell = h_t^{\ell-1}`. The lowest layer takes
    :math:`W_0 x_t` for the cell below and has no :math:`w_l`. With :math:`d = 0` this is the
    stacked LSTM. State: ``(h, c)``, each ``(layers, batch, hidden)``.
    """

    STEPWISE = True

    class Options(GatedOptions):
        """Options of the gated cells, and the first bias of the depth gate."""

        depth_bias: float = -1.0

    def __init__(
        self, num_inputs: int, hidden: int, layers: int, options: "DepthGatedLSTM.Options"
    ) -> None:
        super().__init__()
        self.stack = [
            DepthGatedLayer(size, hidden, options, lowest=index == 0)
            for index, size in enumerate(widths(num_inputs, hidden, layers))
        ]
        self.layers = nn.ModuleList(self.stack)
        self.num_outputs = hidden

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return outputs ``(batch, time, hidden)`` and the state after the last step."""
        if state is None:
            states = [layer.initial_state(inputs) for layer in self.stack]
        else:
            states = list(zip(*state, strict=True))
        outputs = []
        for present in inputs.unbind(1):
            below = None
            for index, layer in enumerate(self.stack):
                present, states[index] = layer.joined_step(present, states[index], below)
                below = states[index][1]
            outputs.append(present)
        last = tuple(torch.stack(parts) for parts in zip(*states, strict=True))
        return torch.stack(outputs, 1), last
