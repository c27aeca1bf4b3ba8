"""The network of Jordan (1986): the output, not the hidden layer, is fed back."""

import torch
from pydantic import Field
from torch import Tensor, nn

from hpcbench.models.initialisation import start_input
from hpcbench.models.simple.elman import ACTIVATIONS, ElmanOptions
from hpcbench.models.stepping import Layer, Stack, State, widths


class JordanOptions(ElmanOptions):
    r"""Options of the Jordan network.

    num_outputs
        Width of the output that is fed back (default: ``hidden``).
    memory
        Share :math:`\alpha` of the old context that is kept.
    """

    num_outputs: int | None = Field(None, ge=1)
    memory: float = Field(0.0, ge=0, lt=1)


class JordanLayer(Layer):
    """One layer with an output of its own."""

    def __init__(self, num_inputs: int, hidden: int, options: JordanOptions) -> None:
        super().__init__()
        width = options.num_outputs or hidden
        self.state_sizes = (width,)
        self.activation = ACTIVATIONS[options.activation]
        self.memory = options.memory
        self.weight_ih = nn.Parameter(torch.empty(hidden, num_inputs))
        self.weight_context = nn.Parameter(torch.empty(hidden, width))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Linear(hidden, width)
        start_input(self.weight_ih, hidden, options)
        start_input(self.weight_context, hidden, options)

    def hidden(self, inputs: Tensor, context: Tensor) -> Tensor:
        """Return the hidden units for given contexts; leading axes are free."""
        drive = nn.functional.linear(inputs, self.weight_ih, self.bias)
        return self.activation(drive + nn.functional.linear(context, self.weight_context))

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units and the next context."""
        (context,) = state
        hidden = self.hidden(inputs, context)
        return hidden, (self.memory * context + self.output(hidden),)

    def forced(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Return hidden units ``(batch, time, hidden)`` with the true outputs as context.

        ``outputs (batch, time, width)`` are those of the steps before; nothing then links the
        steps (without ``memory``), so all of them are computed at once.
        """
        return self.hidden(inputs, outputs)


class Jordan(Stack):
    r"""Stacked Jordan layers.

    .. math::

        h_t = \varphi(U x_t + W_y s_t + b), \qquad y_t = V h_t + c, \qquad
        s_{t+1} = \alpha s_t + y_t

    The output of the cell is :math:`h_t`; its state the context :math:`s`. With
    :math:`V = I, c = 0, \alpha = 0` this is the Elman network.
    """

    Options = JordanOptions

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: JordanOptions) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((JordanLayer(size, hidden, options) for size in sizes), hidden)
