"""The vanilla recurrent network (Elman 1990)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from hpcbench.models.initialisation import RecurrentOptions, start_input, start_recurrent
from hpcbench.models.stepping import Layer, Stack, State, widths

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda values: values,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class ElmanOptions(RecurrentOptions):
    """Options of the vanilla network: its activation and the start of its weights."""

    activation: Literal["tanh", "relu", "sigmoid", "identity"] = "tanh"


class ElmanLayer(Layer):
    """One layer; weights are named as in ``torch.nn.RNNCell``."""

    def __init__(self, num_inputs: int, hidden: int, options: ElmanOptions) -> None:
        super().__init__()
        self.state_sizes = (hidden,)
        self.activation = ACTIVATIONS[options.activation]
        self.weight_ih = nn.Parameter(torch.empty(hidden, num_inputs))
        self.weight_hh = nn.Parameter(torch.empty(hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        start_input(self.weight_ih, hidden, options)
        start_recurrent(self.weight_hh, options)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units, twice: they are output and state."""
        (before,) = state
        drive = torch.addmm(self.bias, inputs, self.weight_ih.T)
        hidden = self.activation(torch.addmm(drive, before, self.weight_hh.T))
        return hidden, (hidden,)


class Elman(Stack):
    r"""Stacked vanilla recurrent layers.

    .. math::

        a_t = U x_t + W h_{t-1} + b, \qquad h_t = \varphi(a_t)

    with :math:`\varphi` one of tanh, relu, sigmoid, identity. The context of Elman (1990) is
    :math:`h_{t-1}`. State: ``(h,)``, ``(layers, batch, hidden)``.
    """

    Options = ElmanOptions

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: ElmanOptions) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((ElmanLayer(size, hidden, options) for size in sizes), hidden)
