"""Heads: from the hidden units of a cell to the scaled target."""

from collections.abc import Sequence

from torch import nn


def build_head(hidden: Sequence[int], num_inputs: int, num_outputs: int) -> nn.Module:
    r"""Return a multilayer perceptron with a linear output, applied at every time step.

    .. math::

        \hat y_t = V \tanh\bigl(W_n \cdots \tanh(W_1 h_t + b_1) \cdots + b_n\bigr) + b

    Parameters
    ----------
    hidden
        Units of each hidden layer; none gives the linear head :math:`\hat y_t = V h_t + b`.
    num_inputs, num_outputs
        Width of the cell's output :math:`h_t`, and of the scaled target.
    """
    output = nn.Linear([num_inputs, *hidden][-1], num_outputs)
    nn.init.zeros_(output.bias)
    if not hidden:
        return output
    layers: list[nn.Module] = []
    for before, after in zip([num_inputs, *hidden], hidden, strict=False):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers, output)
