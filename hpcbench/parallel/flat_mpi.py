"""Gradients averaged in one message after the backward pass: an upper bound on its cost."""

from collections.abc import Sequence
from typing import Any

import torch
from mpi4py import MPI
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.parallel.alone import Alone


class FlatMPI(Alone):
    """``mpi``: all gradients in one buffer, one ``Allreduce`` through host memory."""

    name = "mpi"

    def finish(self, method: nn.Module, optimizer: Optimizer) -> None:
        """Average the gradients of all parameters that have one."""
        self.average([p.grad for p in method.parameters() if p.grad is not None])

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over ranks in one message."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu()
        self.comm.Allreduce(MPI.IN_PLACE, flat.numpy())
        flat /= self.size
        position = 0
        for tensor in tensors:
            part = flat[position : position + tensor.numel()]
            tensor.copy_(part.reshape(tensor.shape))
            position += tensor.numel()

    def details(self) -> dict[str, Any]:
        """Return the MPI library."""
        return {"transport": "mpi", "library": MPI.Get_library_version().split("\n")[0].strip()}
