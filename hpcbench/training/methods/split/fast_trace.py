"""The split training of ``fast_split`` forward in time, with eligibility traces."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method, detached, require_cell, with_gradient
from hpcbench.training.methods.split.split_layer import SPLIT_CELLS, lstm_layers

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class FastTrace(Method):
    r"""One-step prediction with a gradient gathered while the window runs.

    .. math::

        E^k_t &= f_t \odot E^k_{t-1} + \kappa^k_t\, z_t^\top, \qquad z_t = (x_t, h_{t-1}, 1) \\
        \kappa^i &= g\, i(1-i), \quad \kappa^f = c_{t-1} f(1-f), \quad \kappa^g = i (1-g^2) \\
        \nabla^k &= \sum_t \bigl(\epsilon_t \odot o_t \odot (1 - \tanh^2 c_t)\bigr) \odot E^k_t,
        \qquad \nabla^o = \sum_t \epsilon_t \odot \tanh c_t \odot o_t (1 - o_t)\, z_t^\top

    Nothing of the window is stored, so memory does not grow with its length: the traces hold
    :math:`3 B H (D + H + 1)` numbers. For one layer the gradient is that of ``fast_split``
    exactly, and a reconstruction like it; it was the original LSTM's way to learn (Hochreiter
    and Schmidhuber 1997). Deeper stacks would lose the future part of the credit between
    layers and are refused.
    """

    def __init__(self, forecaster: Forecaster, options: object) -> None:
        super().__init__(forecaster)

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse other cells than the LSTM, and stacks."""
        require_cell(config, SPLIT_CELLS, "splits the plain LSTM")
        if config.model.layers != 1:
            raise InputError(
                f'train.method "{config.train.method}" follows one layer, given model.layers = '
                f'{config.model.layers}; choose 1, or method "fast_split"'
            )

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it."""
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        target = forecaster.outputs(
            forecaster.scaled_target(states[:, :-1], states[:, 1:]).to(dtype)
        )
        rows = forecaster.rows(states[:, :-1].to(dtype))
        (layer,) = lstm_layers(forecaster.core)
        size, num_steps = layer.recurrent.shape[1], rows.shape[1]
        if state is None:
            hidden = cell = rows.new_zeros(len(rows), size)
        else:
            hidden, cell = state[0][0], state[1][0]
        with torch.no_grad():
            weight = torch.cat([layer.inputs, layer.recurrent, layer.bias[:, None]], 1)
        trace = rows.new_zeros(3, len(rows), size, weight.shape[1])
        gradient = torch.zeros_like(weight).reshape(4, size, -1)
        total = rows.new_zeros(())
        for present, wanted in zip(rows.unbind(1), target.unbind(1), strict=True):
            with torch.no_grad():
                z = torch.cat([present, hidden, torch.ones_like(hidden[:, :1])], 1)
                a = z @ weight.T
                i, f, g, o = (
                    part.tanh() if gate == "g" else part.sigmoid()
                    for gate, part in zip("ifgo", a.chunk(4, 1), strict=True)
                )
                before, cell = cell, f * cell + i * g
                squashed = cell.tanh()
                hidden = o * squashed
                slopes = torch.stack([g * i * (1 - i), before * f * (1 - f), i * (1 - g**2)])
                trace = f[:, :, None] * trace + slopes[..., None] * z[:, None, :]
            leaf = hidden.detach().requires_grad_()
            output = forecaster.read_out(leaf[:, None], present[:, None])[:, 0]
            loss = (output - wanted).square().mean() / num_steps
            (credit,) = torch.autograd.grad(loss, leaf, retain_graph=True)
            to_cell = credit * o * (1 - squashed**2)
            gradient[:3] += torch.einsum("bh,kbhz->khz", to_cell, trace)
            gradient[3] += (credit * squashed * o * (1 - o)).T @ z
            total = total + loss
        whole = gradient.reshape(weight.shape)
        width = layer.inputs.shape[1]
        parts = [whole[:, :width], whole[:, width:-1], whole[:, -1]]
        total = with_gradient(total, [layer.inputs, layer.recurrent, layer.bias], parts)
        return total, detached((hidden[None], cell[None]))
