r"""What the second-order methods share: the forecaster as a function of a flat parameter vector.

For the mean squared error :math:`L = \frac1N \sum e^2` of :math:`N` outputs with Jacobian
:math:`J` with respect to the parameters, the gradient is :math:`\frac2N J^\top e` and the
Gauss–Newton matrix, which leaves out the curvature of the network itself, is

.. math::

    G = \frac2N J^\top J .

It is symmetric and positive semi-definite, and equals the Hessian where the network is linear in
its parameters.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hpcbench.communicator import Communicator
from hpcbench.models.forecaster import Forecaster, State

Parameters = dict[str, Tensor]


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


class Window:
    """One batch of windows as a least-squares problem, over all ranks.

    Every rank holds as many rows, so averages over ranks are those of the global batch.
    """

    def __init__(
        self, forecaster: Forecaster, states: Tensor, state: State | None, ranks: Communicator
    ) -> None:
        dtype = forecaster.dtype
        self.forecaster, self.state, self.ranks = forecaster, state, ranks
        self.parameters = FlatParameters(forecaster)
        self.inputs = states[:, :-1].to(dtype)
        self.target = forecaster.scaled_target(states[:, :-1], states[:, 1:]).to(dtype)

    def outputs(self, vector: Tensor) -> Tensor:
        """Return the scaled targets the forecaster gives with these parameters."""
        named = self.parameters.named(vector)
        arguments = (self.inputs, self.state)
        outputs: Tensor = torch.func.functional_call(self.forecaster, named, arguments)[0]
        return outputs

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

    def linearised(self, vector: Tensor) -> tuple[float, Tensor, Callable[[Tensor], Tensor]]:
        r"""Return loss, gradient and the Gauss–Newton product at a point, over all ranks.

        The product :math:`v \mapsto \frac2N J^\top (J v)` takes one forward-mode and one
        reverse pass and one allreduce.
        """
        outputs, pull_back = torch.func.vjp(self.outputs, vector)  # type: ignore[misc]
        error = outputs - self.target
        (gradient,) = pull_back(2 / error.numel() * error)
        loss = error.square().mean().reshape(1)
        self.average(gradient, loss)

        def product(direction: Tensor) -> Tensor:
            change = torch.func.jvp(self.outputs, (vector,), (direction,))[1]
            (result,) = pull_back(2 / change.numel() * change)
            self.average(result)
            return result

        return float(loss), gradient, product
