r"""What the second-order methods share: the forecaster as a function of a flat parameter vector.

For the mean squared error :math:`L = \frac1N \sum e^2` of :math:`N` outputs with Jacobian
:math:`J` with respect to the parameters, the gradient is :math:`\frac2N J^\top e` and the
Gauss–Newton matrix, which leaves out the curvature of the network itself, is

.. math::

    G = \frac2N J^\top J .

It is symmetric and positive semi-definite, and equals the Hessian where the network is linear in
its parameters.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from hpcbench.models.forecaster import Forecaster, State
from hpcbench.parallel.communicator import Communicator

Parameters = dict[str, Tensor]


class Product(Protocol):
    """A product of the Gauss–Newton matrix with a direction."""

    def __call__(self, direction: Tensor, structural: float = 0.0) -> Tensor: ...


class FlatParameters:
    """The trained parameters of a module as one vector.

    Attributes
    ----------
    names
        Names of the parameters, in the order of the vector.
    """

    def __init__(self, module: nn.Module) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]

    def get(self) -> Tensor:
        """Return a copy of the vector, ``(parameter,)``."""
        return torch.cat([p.detach().flatten() for p in self.parameters])

    @torch.no_grad()
    def set(self, vector: Tensor) -> None:
        """Write the vector into the module."""
        for parameter, part in zip(self.parameters, self._split(vector), strict=True):
            parameter.copy_(part)

    def named(self, vector: Tensor) -> Parameters:
        """Return the vector as named tensors of the parameters' shapes."""
        return dict(zip(self.names, self._split(vector), strict=True))

    def flat(self, named: Parameters) -> Tensor:
        """Return named tensors as one vector."""
        return torch.cat([named[name].flatten() for name in self.names])

    def _split(self, vector: Tensor) -> list[Tensor]:
        parts = vector.split([p.numel() for p in self.parameters])
        return [part.view_as(p) for part, p in zip(parts, self.parameters, strict=True)]


class _Traced(nn.Module):
    """The forecaster, giving the cell's outputs as well."""

    def __init__(self, forecaster: Forecaster) -> None:
        super().__init__()
        self.forecaster = forecaster

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, Tensor]:
        rows = self.forecaster.rows(inputs)
        hidden, _ = self.forecaster.core(rows, state)
        outputs = self.forecaster.read_out(hidden, rows)
        return self.forecaster.components(outputs, len(inputs)), hidden


class _RowLoss(nn.Module):
    """The mean squared error of rows, ``(row, time, input)`` against ``(row, time, output)``."""

    def __init__(self, forecaster: Forecaster) -> None:
        super().__init__()
        self.forecaster = forecaster

    def forward(self, rows: Tensor, target: Tensor, state: State | None) -> Tensor:
        hidden, _ = self.forecaster.core(rows, state)
        return nn.functional.mse_loss(self.forecaster.read_out(hidden, rows), target)


class Window:
    """One batch of windows as a least-squares problem, over all ranks.

    Every rank holds as many rows, so averages over ranks are those of the global batch. The
    inputs and what follows them are normalised, float64, ``(batch, time, component)``.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        inputs: Tensor,
        following: Tensor,
        state: State | None,
        ranks: Communicator,
    ) -> None:
        dtype = forecaster.dtype
        self.forecaster, self.state, self.ranks = forecaster, state, ranks
        self.parameters = FlatParameters(forecaster)
        self.inputs = inputs.to(dtype)
        self.target = forecaster.scaled_target(inputs, following).to(dtype)

    def outputs(self, vector: Tensor) -> Tensor:
        """Return the scaled targets the forecaster gives with these parameters."""
        return self.traced(vector)[0]

    def traced(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scaled targets, and the cell's outputs ``(row, time, unit)``."""
        named = {f"forecaster.{n}": p for n, p in self.parameters.named(vector).items()}
        model, arguments = _Traced(self.forecaster), (self.inputs, self.state)
        traced: tuple[Tensor, Tensor] = torch.func.functional_call(model, named, arguments)
        return traced

    @torch.no_grad()
    def state_after(self) -> State:
        """Return the state after the window, with the parameters as they are."""
        after: State = self.forecaster(self.inputs, self.state)[1]
        return after

    def average(self, *tensors: Tensor) -> None:
        """Average tensors over ranks in place: one message."""
        self.ranks.average(list(tensors))

    @torch.no_grad()
    def loss(self, vector: Tensor) -> float:
        """Return the mean squared error over all ranks."""
        value = (self.outputs(vector) - self.target).square().mean().double()
        self.average(value)
        return float(value)

    def linearised(self, vector: Tensor) -> tuple[float, Tensor, Product]:
        r"""Return loss, gradient and the Gauss–Newton product at a point, over all ranks.

        The product :math:`v, \mu \mapsto \frac2N J^\top J v + \frac{2\mu}{M} J_h^\top J_h v`
        takes one forward-mode and one reverse pass and one allreduce. :math:`J_h` is the Jacobian
        of the :math:`M` outputs of the cell, :math:`\mu` the second argument.
        """
        traced, pull_back = torch.func.vjp(self.traced, vector)  # type: ignore[misc]
        outputs, hidden = traced
        error = outputs - self.target
        (gradient,) = pull_back((2 / error.numel() * error, torch.zeros_like(hidden)))
        loss = error.square().mean().reshape(1)
        self.average(gradient, loss)

        def product(direction: Tensor, structural: float = 0.0) -> Tensor:
            change, moved = torch.func.jvp(self.traced, (vector,), (direction,))[1]
            shares = 2 / change.numel() * change, 2 * structural / moved.numel() * moved
            (result,) = pull_back(shares)
            self.average(result)
            return result

        return float(loss), gradient, product

    def row_squares(self, vector: Tensor) -> Tensor:
        r"""Return :math:`\frac1n \sum_r g_r^2`, over the :math:`n` rows of all ranks.

        :math:`g_r` is the gradient of row r's mean squared error; the squares are taken element
        by element.
        """
        forecaster = self.forecaster
        rows, target = forecaster.rows(self.inputs), forecaster.outputs(self.target)

        def loss(weights: Tensor, row: Tensor, wanted: Tensor, state: State | None) -> Tensor:
            named = {f"forecaster.{n}": p for n, p in self.parameters.named(weights).items()}
            before = None if state is None else tuple(part[:, None] for part in state)
            arguments = (row[None], wanted[None], before)
            value: Tensor = torch.func.functional_call(_RowLoss(forecaster), named, arguments)
            return value

        along = None if self.state is None else 1
        gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, along))
        squares = gradients(vector, rows, target, self.state).square().mean(0)
        self.average(squares)
        return squares
