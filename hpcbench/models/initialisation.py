"""How recurrent and input weights are drawn before training."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hpcbench.config.tree import Config

SPARSE_CONNECTIONS = 15
"""Connections of a unit in the sparse initialisation (Sutskever et al. 2013)."""


class RecurrentOptions(Config):
    r"""How the recurrent weights of every gate start.

    recurrent
        ``orthogonal``: :math:`W^\top W = I`, so that norms survive. ``sparse``: at most 15
        normal connections per unit, as in an echo state network (Sutskever et al. 2013).
        ``identity``: :math:`W = I`, with relu units the IRNN (Le et al. 2015). ``uniform``:
        :math:`U(-1/\sqrt H, 1/\sqrt H)`, the habit of PyTorch.
    spectral_radius
        Scale the recurrent weights of each gate to this largest eigenvalue modulus; 1.1 goes
        with ``sparse``.
    input_scale
        Factor on the input weights, which are drawn as PyTorch does.
    """

    recurrent: Literal["orthogonal", "sparse", "identity", "uniform"] = "orthogonal"
    spectral_radius: float | None = Field(None, gt=0)
    input_scale: float = Field(1.0, gt=0)


def spectral_radius(matrix: Tensor) -> float:
    """Return the largest modulus of the eigenvalues of a square matrix."""
    return float(torch.linalg.eigvals(matrix.detach().double()).abs().max())


@torch.no_grad()
def start_recurrent(weight: Tensor, options: RecurrentOptions) -> None:
    """Fill the square recurrent weights ``(units, units)`` of one gate."""
    size = len(weight)
    if options.recurrent == "orthogonal":
        nn.init.orthogonal_(weight)
    elif options.recurrent == "identity":
        nn.init.eye_(weight)
    elif options.recurrent == "uniform":
        nn.init.uniform_(weight, -(size**-0.5), size**-0.5)
    else:
        weight.zero_()
        count = min(SPARSE_CONNECTIONS, size)
        for row in weight:
            row[torch.randperm(size)[:count]] = torch.randn(count, dtype=weight.dtype)
    if options.spectral_radius is not None:
        weight *= options.spectral_radius / spectral_radius(weight)


@torch.no_grad()
def start_input(weight: Tensor, hidden: int, options: RecurrentOptions) -> None:
    """Fill input weights ``(units, num_inputs)`` as ``torch.nn`` does, scaled."""
    bound = options.input_scale * hidden**-0.5
    nn.init.uniform_(weight, -bound, bound)
