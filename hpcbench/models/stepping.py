"""Cells computed one time step at a time: what all hand-written cells share.

A :class:`Layer` says what one step does; a :class:`Stack` runs layers over time, one after the
other. Every operation is a differentiable PyTorch expression, so these cells have forward-mode
and second derivatives, which the fused kernels lack.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class Layer(nn.Module):
    """One recurrent layer.

    Attributes
    ----------
    state_sizes
        Width of each part of the state.
    """

    state_sizes: tuple[int, ...]

    def initial_state(self, inputs: Tensor) -> State:
        """Return the zero state for ``inputs (batch, ..., num_inputs)``: ``(batch, size)`` each."""
        return tuple(inputs.new_zeros(len(inputs), size) for size in self.state_sizes)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return output and state after one step with ``inputs (batch, num_inputs)``."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return outputs ``(batch, time, width)`` of all steps and the state after the last."""
        outputs = []
        for present in inputs.unbind(1):
            output, state = self.step(present, state)
            outputs.append(output)
        return torch.stack(outputs, 1), state


class Stack(nn.Module):
    """Layers on top of each other; the input of a layer is the output of the one below.

    State: one tensor ``(layers, batch, size)`` for each part of a layer's state.
    """

    STEPWISE: ClassVar[bool] = True
    """Computed step by step: free running, forward mode and second derivatives are possible."""

    def __init__(self, layers: Iterable[Layer], num_outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.num_outputs = num_outputs

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return outputs ``(batch, time, num_outputs)`` and the state after the last step."""
        after = []
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            if state is None:
                before = layer.initial_state(inputs)
            else:
                before = tuple(part[index] for part in state)
            inputs, last = layer(inputs, before)
            after.append(last)
        return inputs, tuple(torch.stack(parts) for parts in zip(*after, strict=True))


def widths(num_inputs: int, hidden: int, layers: int) -> list[int]:
    """Return the input width of each layer of a stack."""
    return [num_inputs, *[hidden] * (layers - 1)]
