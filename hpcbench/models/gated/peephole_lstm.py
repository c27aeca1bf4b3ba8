"""The LSTM whose gates see the cell (Gers and Schmidhuber 2000)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hpcbench.models.gated.stepped_lstm import GatedOptions, LSTMLayer
from hpcbench.models.stepping import Stack, State, widths

Gate = Literal["i", "f", "o"]
GATES: tuple[Gate, ...] = ("i", "f", "o")


class PeepholeOptions(GatedOptions):
    """Options of the peephole LSTM.

    peephole
        ``diagonal``: a gate sees its own cell only. ``full``: it sees all cells of the layer.
    gates
        Which gates have a peephole.
    """

    peephole: Literal["diagonal", "full"] = "diagonal"
    gates: list[Gate] = Field(default_factory=lambda: list(GATES))


class PeepholeLayer(LSTMLayer):
    """One layer; the peepholes start at zero, where it is the plain LSTM."""

    def __init__(self, num_inputs: int, hidden: int, options: PeepholeOptions) -> None:
        super().__init__(num_inputs, hidden, options)
        shape = (hidden, hidden) if options.peephole == "full" else (hidden,)
        self.peepholes = nn.ParameterDict(
            {gate: nn.Parameter(torch.zeros(shape)) for gate in options.gates}
        )

    def see(self, gate: str, cell: Tensor) -> Tensor | float:
        """Return what a gate sees of the cell."""
        if gate not in self.peepholes:
            return 0.0
        weight = self.peepholes[gate]
        return cell @ weight.T if weight.dim() == 2 else cell * weight

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units and the pair of hidden units and cell."""
        before, old = state
        i, f, g, o = self.activations(inputs, before)
        f, i = torch.sigmoid(f + self.see("f", old)), torch.sigmoid(i + self.see("i", old))
        cell = f * old + i * torch.tanh(g)
        hidden = torch.sigmoid(o + self.see("o", cell)) * torch.tanh(cell)
        return hidden, (hidden, cell)


class PeepholeLSTM(Stack):
    r"""Stacked LSTM layers with peepholes.

    .. math::

        f, i &= \sigma(W_{f,i}\, x_t + U_{f,i}\, h_{t-1} + P_{f,i}\, c_{t-1} + b_{f,i}) \\
        c_t &= f \odot c_{t-1} + i \odot \tanh(W_g x_t + U_g h_{t-1} + b_g) \\
        o &= \sigma(W_o x_t + U_o h_{t-1} + P_o c_t + b_o), \qquad h_t = o \odot \tanh c_t

    The output gate sees the *new* cell. State: ``(h, c)``, each ``(layers, batch, hidden)``.
    """

    Options = PeepholeOptions

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: PeepholeOptions) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((PeepholeLayer(size, hidden, options) for size in sizes), hidden)
