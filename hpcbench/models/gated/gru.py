"""The gated recurrent unit (Cho et al. 2014), with the reset gate before or after the product."""

import torch
from torch import Tensor, nn

from hpcbench.models.initialisation import RecurrentOptions, start_input, start_recurrent
from hpcbench.models.stepping import Layer, Stack, State, widths


class GRUOptions(RecurrentOptions):
    r"""Options of the GRU.

    reset_after
        Whether the reset gate acts on the recurrent product (:math:`r \odot (U_n h + b_h)`, the
        form of ``torch.nn.GRU`` and of cuDNN) or on the hidden units (:math:`U_n (r \odot h)`,
        the form of the paper). The two are different functions.
    """

    reset_after: bool = True


class GRULayer(Layer):
    """One layer; the rows of its weights are the gates r, z, n, as in ``torch.nn.GRU``."""

    def __init__(self, num_inputs: int, hidden: int, options: GRUOptions) -> None:
        super().__init__()
        self.state_sizes = (hidden,)
        self.reset_after = options.reset_after
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden, num_inputs))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(3 * hidden))
        if self.reset_after:
            self.bias_hn = nn.Parameter(torch.zeros(hidden))
        start_input(self.weight_ih, hidden, options)
        for gate in self.weight_hh.split(hidden):
            start_recurrent(gate, options)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units, twice: they are output and state."""
        (before,) = state
        size = before.shape[1]
        drive = torch.addmm(self.bias, inputs, self.weight_ih.T)
        gates = torch.addmm(drive[:, : 2 * size], before, self.weight_hh[: 2 * size].T)
        reset, keep = torch.sigmoid(gates).chunk(2, 1)
        recurrent = self.weight_hh[2 * size :].T
        if self.reset_after:
            fed_back = reset * torch.addmm(self.bias_hn, before, recurrent)
        else:
            fed_back = (reset * before) @ recurrent
        proposed = torch.tanh(drive[:, 2 * size :] + fed_back)
        hidden = (1 - keep) * proposed + keep * before
        return hidden, (hidden,)


class GRU(Stack):
    r"""Stacked gated recurrent units.

    .. math::

        r, z &= \sigma(W_{r,z}\, x_t + U_{r,z}\, h_{t-1} + b_{r,z}) \\
        n &= \tanh\bigl(W_n x_t + b_n + r \odot (U_n h_{t-1} + b_h)\bigr)
             \quad\text{or}\quad \tanh\bigl(W_n x_t + b_n + U_n (r \odot h_{t-1})\bigr) \\
        h_t &= (1 - z) \odot n + z \odot h_{t-1}

    The update gate *keeps*, as in PyTorch; where it *replaces* instead, the weights of z have
    the other sign. State: ``(h,)``, ``(layers, batch, hidden)``.
    """

    Options = GRUOptions

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: GRUOptions) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((GRULayer(size, hidden, options) for size in sizes), hidden)
