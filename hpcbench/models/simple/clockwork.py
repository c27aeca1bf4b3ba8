"""The clockwork network (Koutník et al. 2014): modules that tick at different rates."""

import itertools
from typing import ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from hpcbench.errors import InputError
from hpcbench.models.initialisation import RecurrentOptions, start_input, start_recurrent
from hpcbench.models.stepping import Layer, Stack, State, widths


class ClockworkOptions(RecurrentOptions):
    """Options of the clockwork network.

    periods
        Steps between two ticks of each module, ascending, each a divisor of the next; the
        hidden units are shared out evenly.
    """

    periods: list[int] = Field(default_factory=lambda: [1, 2, 4, 8], min_length=1)

    @field_validator("periods")
    @classmethod
    def _divide_each_other(cls, periods: list[int]) -> list[int]:
        pairs = itertools.pairwise(periods)
        if min(periods) < 1 or any(slow % fast or slow == fast for fast, slow in pairs):
            raise ValueError("each period must divide the next, for example [1, 2, 4, 8]")
        return periods


class ClockworkLayer(Layer):
    """One layer; a step computes the modules that tick, which are always the fastest ones."""

    def __init__(self, num_inputs: int, hidden: int, options: ClockworkOptions) -> None:
        super().__init__()
        periods = options.periods
        if hidden % len(periods):
            raise InputError(
                f"model.hidden: given {hidden}, which the {len(periods)} modules of "
                "model.options.periods cannot share evenly; give a multiple"
            )
        self.periods = periods
        self.module_size = hidden // len(periods)
        self.state_sizes = (hidden, 1)
        self.weight_ih = nn.Parameter(torch.empty(hidden, num_inputs))
        self.weight_hh = nn.Parameter(torch.empty(hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        start_input(self.weight_ih, hidden, options)
        start_recurrent(self.weight_hh, options)

    def num_active(self, tick: int) -> int:
        """Return the number of units that change at a tick, counted from 0."""
        return self.module_size * sum(tick % period == 0 for period in self.periods)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units, and the state with the tick counted on."""
        before, tick = state
        active = self.num_active(int(tick[0, 0]))
        parts = []
        # module by module: a module reads itself and the slower ones
        for first in range(0, active, self.module_size):
            rows = slice(first, first + self.module_size)
            drive = torch.addmm(self.bias[rows], inputs, self.weight_ih[rows].T)
            parts.append(torch.addmm(drive, before[:, first:], self.weight_hh[rows, first:].T))
        hidden = torch.cat([torch.tanh(part) for part in parts] + [before[:, active:]], 1)
        return hidden, (hidden, tick + 1)


class Clockwork(Stack):
    r"""Stacked clockwork layers.

    Modules :math:`g` have periods :math:`T_1 < T_2 < \dots`. At steps with
    :math:`t \bmod T_i = 0`

    .. math::

        h^i_t = \tanh\Bigl(\sum_{j:\, T_j \ge T_i} W_{ij} h^j_{t-1} + U_i x_t + b_i\Bigr),

    else :math:`h^i_t = h^i_{t-1}`: the fast modules read the slow ones, which a step leaves
    alone, so its cost goes with :math:`\sum_i 1/T_i`. State: ``(h, tick)``, ``(layers, batch,
    hidden)`` and ``(layers, batch, 1)``; the tick is counted from the zero state.
    """

    COUNTS_STEPS: ClassVar[bool] = True
    """What a step computes depends on how many came before it."""

    Options = ClockworkOptions

    def __init__(
        self, num_inputs: int, hidden: int, layers: int, options: ClockworkOptions
    ) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((ClockworkLayer(size, hidden, options) for size in sizes), hidden)
