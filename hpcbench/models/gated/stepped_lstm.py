"""The long short-term memory written out, step by step."""

import torch
from torch import Tensor, nn

from hpcbench.models.initialisation import RecurrentOptions, start_input, start_recurrent
from hpcbench.models.stepping import Layer, Stack, State, widths


class GatedOptions(RecurrentOptions):
    """Options of a gated cell: the start of its weights and the forget gate's first bias."""

    forget_bias: float = 1.0


class LSTMLayer(Layer):
    """One layer; the rows of its weights are the gates i, f, g, o, as in ``torch.nn.LSTM``."""

    GATES: tuple[str, ...] = ("i", "f", "g", "o")

    def __init__(self, num_inputs: int, hidden: int, options: GatedOptions) -> None:
        super().__init__()
        self.state_sizes = (hidden, hidden)
        num_gates = len(self.GATES)
        self.weight_ih = nn.Parameter(torch.empty(num_gates * hidden, num_inputs))
        self.weight_hh = nn.Parameter(torch.empty(num_gates * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(num_gates * hidden))
        start_input(self.weight_ih, hidden, options)
        for gate in self.weight_hh.split(hidden):
            start_recurrent(gate, options)
        first = self.GATES.index("f") * hidden
        with torch.no_grad():
            self.bias[first : first + hidden] = options.forget_bias

    def activations(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        """Return what enters each gate, ``(batch, hidden)`` each."""
        drive = torch.addmm(self.bias, inputs, self.weight_ih.T)
        return torch.addmm(drive, hidden, self.weight_hh.T).chunk(len(self.GATES), 1)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units and the pair of hidden units and cell."""
        before, cell = state
        i, f, g, o = self.activations(inputs, before)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        return hidden, (hidden, cell)


class SteppedLSTM(Stack):
    r"""Stacked LSTM layers without fused kernels, with one bias per gate.

    .. math::

        f, i, o &= \sigma(W_{f,i,o}\, x_t + U_{f,i,o}\, h_{t-1} + b_{f,i,o}) \\
        g &= \tanh(W_g x_t + U_g h_{t-1} + b_g) \\
        c_t &= f \odot c_{t-1} + i \odot g, \qquad h_t = o \odot \tanh c_t

    State: ``(h, c)``, each ``(layers, batch, hidden)``. The same map as the cell ``lstm``, and
    slower, but it has forward-mode and second derivatives (Hochreiter and Schmidhuber 1997;
    Gers et al. 2000).
    """

    Options = GatedOptions

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: GatedOptions) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((LSTMLayer(size, hidden, options) for size in sizes), hidden)
