"""The unfolded vanilla network with weights of its own at every step: what sharing is worth."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from hpcbench.models.simple.elman import ElmanLayer, ElmanOptions
from hpcbench.models.stepping import Layer, Stack, State, widths


class UntiedOptions(ElmanOptions):
    """Options of the untied network: of the vanilla one, and the steps with own weights."""

    steps: int = Field(16, ge=1)


class UntiedLayer(Layer):
    """One layer: a vanilla layer for each step, all started alike."""

    def __init__(self, num_inputs: int, hidden: int, options: UntiedOptions) -> None:
        super().__init__()
        self.state_sizes = (hidden, 1)
        self.unfolded = nn.ModuleList(
            ElmanLayer(num_inputs, hidden, options) for _ in range(options.steps)
        )
        first = self.unfolded[0].state_dict()
        for copy in self.unfolded[1:]:
            copy.load_state_dict(first)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden units, and the state with the step counted on."""
        before, count = state
        place = min(int(count[0, 0]), len(self.unfolded) - 1)
        layer = self.unfolded[place]
        assert isinstance(layer, ElmanLayer)
        hidden, _ = layer.step(inputs, (before,))
        return hidden, (hidden, count + 1)


class Untied(Stack):
    r"""Stacked unfolded layers.

    .. math::

        h_t = \varphi(U_t x_t + W_t h_{t-1} + b_t)

    for the first ``steps`` steps after the zero state; later ones use the last step's weights.
    An ablation: ``steps`` times the parameters of the vanilla network and, where it starts,
    the same function. State: ``(h, count)``.
    """

    COUNTS_STEPS: ClassVar[bool] = True
    """What a step computes depends on how many came before it."""

    Options = UntiedOptions

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: UntiedOptions) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((UntiedLayer(size, hidden, options) for size in sizes), hidden)
