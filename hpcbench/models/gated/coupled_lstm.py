"""The LSTM with coupled input and forget gates (Greff et al. 2017)."""

import torch
from torch import Tensor

from hpcbench.models.gated.stepped_lstm import GatedOptions, LSTMLayer
from hpcbench.models.stepping import Stack, State, widths


class CoupledLayer(LSTMLayer):
    """One layer; the rows of its weights are the gates f, g, o."""

    GATES: tuple[str, ...] = ("f", "g", "o")

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units and the pair of hidden units and cell."""
        before, cell = state
        f, g, o = self.activations(inputs, before)
        keep = torch.sigmoid(f)
        cell = keep * cell + (1 - keep) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        return hidden, (hidden, cell)


class CoupledLSTM(Stack):
    r"""Stacked LSTM layers that write exactly what they forget.

    .. math::

        c_t = f \odot c_{t-1} + (1 - f) \odot g, \qquad h_t = o \odot \tanh c_t

    with the gates of the LSTM. The new cell is a convex combination, so
    :math:`\|c_t\|_\infty \le \max(\|c_0\|_\infty, 1)`. State: ``(h, c)``.
    """

    Options = GatedOptions

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: GatedOptions) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((CoupledLayer(size, hidden, options) for size in sizes), hidden)
