"""Real-time recurrent learning: the exact gradient, forward in time (Williams and Zipser 1989)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method, detached, require_cell, with_gradient

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig

ONLINE_CELLS = ("coupled_lstm", "elman", "gru", "peephole_lstm", "stepped_lstm")
"""Cells whose last layer's first state is their output."""

MOST_PARAMETERS = 5_000


class OnlineMethod(Method):
    """What the methods that run forward in time share: the cell as a function of flat vectors.

    A row's state is one vector :math:`s`, all layers' parts after another; the cell's parameters
    are the vector :math:`\\theta`.
    """

    def __init__(self, forecaster: Forecaster, options: object) -> None:
        super().__init__(forecaster)
        self.core_names = [name for name, _ in forecaster.core.named_parameters()]

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse cells whose output is not part of their state."""
        require_cell(config, ONLINE_CELLS, "follows the cell's state forward in time")

    def core_parameters(self) -> list[Tensor]:
        """Return the cell's parameters in order."""
        return list(self.forecaster.core.parameters())

    def theta(self) -> Tensor:
        """Return the cell's parameters as one vector, ``(parameter,)``."""
        return torch.cat([p.detach().flatten() for p in self.core_parameters()])

    def step(self, theta: Tensor, row: Tensor, vector: Tensor, shape: list[int]) -> Tensor:
        """Return the state of one row after one step, ``(state,)``.

        ``shape`` holds the width of each part of the state, for all layers.
        """
        parameters = self.core_parameters()
        parts = theta.split([p.numel() for p in parameters])
        named = {
            name: part.view_as(p)
            for name, part, p in zip(self.core_names, parts, parameters, strict=True)
        }
        layers = len(self.forecaster.core.layers)
        state = tuple(part.reshape(layers, 1, -1) for part in vector.split(shape))
        arguments = (row[None, None], state)
        _, after = torch.func.functional_call(self.forecaster.core, named, arguments)
        return torch.cat([part.flatten() for part in after])

    def window(
        self, states: Tensor, state: State | None
    ) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Return rows, their targets, their state vectors ``(row, state)`` and the shape."""
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        target = forecaster.scaled_target(states[:, :-1], states[:, 1:]).to(dtype)
        rows = forecaster.rows(states[:, :-1].to(dtype))
        if state is None:
            with torch.no_grad():
                _, after = forecaster.core(rows[:, :1], None)
            state = tuple(torch.zeros_like(part) for part in after)
        vectors = torch.cat([part.transpose(0, 1).flatten(1) for part in state], 1)
        shape = [part.shape[0] * part.shape[2] for part in state]
        return rows, forecaster.outputs(target), vectors, shape

    def as_state(self, vectors: Tensor, shape: list[int]) -> State:
        """Return state vectors as the cell's state."""
        layers = len(self.forecaster.core.layers)
        return tuple(
            part.reshape(len(vectors), layers, -1).transpose(0, 1).contiguous()
            for part in vectors.split(shape, 1)
        )

    def outputs_place(self, shape: list[int]) -> slice:
        """Return where the cell's output lies in a state vector: the last layer's first part."""
        layers = len(self.forecaster.core.layers)
        return slice(shape[0] - shape[0] // layers, shape[0])

    def credit(self, hidden: list[Tensor], rows: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and its gradient with respect to the hidden units of every step."""
        leaf = torch.stack(hidden, 1).detach().requires_grad_()
        loss = nn.functional.mse_loss(self.forecaster.read_out(leaf, rows), target)
        (credit,) = torch.autograd.grad(loss, leaf, retain_graph=True)
        return loss, credit

    def given(self, loss: Tensor, gradient: Tensor) -> Tensor:
        """Return the loss with the cell's gradient, a vector, attached."""
        parameters = self.core_parameters()
        parts = gradient.split([p.numel() for p in parameters])
        shaped = [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
        return with_gradient(loss, parameters, shaped)


class RealTimeRecurrentLearning(OnlineMethod):
    r"""One-step prediction with gradients that reach back to where the state started.

    .. math::

        J_t = \frac{\partial s_t}{\partial \theta}
            = \frac{\partial F}{\partial s} J_{t-1} + \frac{\partial F}{\partial \theta}, \qquad
        \nabla = \sum_t \frac{\partial \ell_t}{\partial s_t} J_t

    Nothing is truncated: :math:`J` is carried from window to window together with the state. It
    holds (state × parameters) numbers for every row, so it is for small networks. Between two
    updates the parameters move and :math:`J` lags behind by one window, as in every online use.
    """

    def __init__(self, forecaster: Forecaster, options: object) -> None:
        super().__init__(forecaster, options)
        count = sum(p.numel() for p in self.core_parameters())
        if count > MOST_PARAMETERS:
            raise InputError(
                f"model.hidden: this cell has {count} parameters, and rtrl carries their "
                f"influence on every unit of every row; at most {MOST_PARAMETERS}: choose a "
                'smaller model.hidden, or method "uoro" or "tbptt"'
            )

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window; carry the state and its Jacobian."""
        inner = None if state is None else state[:-1]
        rows, target, vectors, shape = self.window(states, inner)
        theta = self.theta()
        if state is None:
            influence = rows.new_zeros(*vectors.shape, len(theta))
        else:
            influence = state[-1][0]

        def step(weights: Tensor, row: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
            after = self.step(weights, row, vector, shape)
            return after, after

        slopes = torch.func.vmap(
            torch.func.jacrev(step, argnums=(0, 2), has_aux=True), in_dims=(None, 0, 0)
        )
        place = self.outputs_place(shape)
        hidden, influences = [], []
        for row in rows.unbind(1):
            (by_weight, by_state), vectors = slopes(theta, row, vectors)
            influence = by_state @ influence + by_weight
            hidden.append(vectors[:, place])
            influences.append(influence[:, place])
        loss, credit = self.credit(hidden, rows, target)
        gradient = torch.einsum("bth,tbhp->p", credit, torch.stack(influences))
        after = self.as_state(vectors, shape)
        return self.given(loss, gradient), detached((*after, influence[None]))
