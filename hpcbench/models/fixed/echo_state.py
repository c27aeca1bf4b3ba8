"""The echo state network: a fixed random reservoir whose readout alone is fitted (Jaeger 2001)."""

import numpy as np
import scipy.sparse.linalg
import torch
from pydantic import Field
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.models.initialisation import spectral_radius
from hpcbench.models.stepping import Layer, Stack, State, widths

LARGEST_DENSE = 200
"""Units up to which all eigenvalues are computed; beyond, the largest by Arnoldi iteration."""


class EchoStateOptions(Config):
    """Options of the reservoir.

    spectral_radius
        Largest eigenvalue modulus of the recurrent weights.
    degree
        Connections into each unit.
    input_scale, bias_scale
        Input weights and biases are uniform within plus and minus these.
    leak
        Share of a unit that is renewed in a step.
    squared
        Give the readout the square of every second unit, which breaks the symmetry under a
        change of sign (Pathak et al. 2018).
    """

    spectral_radius: float = Field(0.6, gt=0)
    degree: int = Field(10, ge=1)
    input_scale: float = Field(0.5, gt=0)
    bias_scale: float = Field(0.1, ge=0)
    leak: float = Field(1.0, gt=0, le=1)
    squared: bool = True


class ReservoirLayer(Layer):
    """One reservoir; its sparse weights are the sources and strengths of each unit."""

    weight_ih: Tensor
    bias: Tensor
    sources: Tensor
    strengths: Tensor

    def __init__(self, num_inputs: int, hidden: int, options: EchoStateOptions) -> None:
        super().__init__()
        self.state_sizes = (hidden,)
        self.leak = options.leak
        self.squared = options.squared
        degree = min(options.degree, hidden)
        sources = torch.stack([torch.randperm(hidden)[:degree] for _ in range(hidden)])
        strengths = 2 * torch.rand(hidden, degree, dtype=torch.float64) - 1
        strengths *= options.spectral_radius / _sparse_radius(sources, strengths)
        self.register_buffer("sources", sources)
        self.register_buffer("strengths", strengths.float())
        weight = options.input_scale * (2 * torch.rand(hidden, num_inputs) - 1)
        self.register_buffer("weight_ih", weight)
        self.register_buffer("bias", options.bias_scale * (2 * torch.rand(hidden) - 1))

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what the readout sees, and the reservoir."""
        (before,) = state
        drive = torch.addmm(self.bias, inputs, self.weight_ih.T)
        fed_back = (before[:, self.sources] * self.strengths).sum(-1)
        units = (1 - self.leak) * before + self.leak * torch.tanh(drive + fed_back)
        if not self.squared:
            return units, (units,)
        odd = torch.arange(units.shape[1], device=units.device) % 2 == 1
        return torch.where(odd, units**2, units), (units,)


class EchoState(Stack):
    r"""Stacked reservoirs.

    .. math::

        r_t = (1 - a)\, r_{t-1} + a \tanh(W_{in} x_t + W_r r_{t-1} + b), \qquad
        \phi_j = r_j \;\text{or, for every second } j,\; r_j^2

    The output of the cell is :math:`\phi`; nothing in it is trained. It goes with the method
    ``ridge``. State: ``(r,)``, ``(layers, batch, hidden)``.
    """

    Options = EchoStateOptions

    def __init__(
        self, num_inputs: int, hidden: int, layers: int, options: EchoStateOptions
    ) -> None:
        sizes = widths(num_inputs, hidden, layers)
        super().__init__((ReservoirLayer(size, hidden, options) for size in sizes), hidden)


def _sparse_radius(sources: Tensor, strengths: Tensor) -> float:
    """Return the largest eigenvalue modulus of weights given by sources and strengths."""
    size = len(sources)
    if size <= LARGEST_DENSE:
        dense = torch.zeros(size, size, dtype=strengths.dtype).scatter_(1, sources, strengths)
        return spectral_radius(dense)
    rows = np.repeat(np.arange(size), sources.shape[1])
    entries = strengths.flatten().numpy(), (rows, sources.flatten().numpy())
    matrix = scipy.sparse.csr_array(entries, shape=(size, size))
    start = np.ones(size)
    values = scipy.sparse.linalg.eigs(matrix, k=6, v0=start, return_eigenvectors=False)
    return float(np.abs(values).max())
