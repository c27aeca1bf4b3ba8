"""Rank, size and the averaging of gradients, behind one interface for every back-end.

One process is the special case of many. Control traffic (agreeing, gathering) goes through MPI
whatever the back-end; the back-end decides how gradients are averaged:

========= =====================================================================================
horovod   ``DistributedOptimizer``: averaging overlaps the backward pass (MPI, Gloo or NCCL)
ddp       ``DistributedDataParallel``: buckets overlap the backward pass (gloo, NCCL on GPUs)
mpi       one flat ``Allreduce`` after the backward pass: no overlap, an upper bound on its cost
none      no averaging: on several ranks the gradients are wrong and the time is a lower bound
========= =====================================================================================
"""

import atexit
import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.errors import InputError, nearest
from hpcbench.parallel.ranks import Ranks
from hpcbench.run.record import Metric

Reduction = Literal["average", "adasum"]
"""How the ranks' gradients become one."""

Compression = Literal["none", "fp16"]
"""In which type gradients travel."""


class Communicator(Ranks, ABC):
    """The ranks of a run.

    Attributes
    ----------
    rank, size
        Number of this process and of all processes.
    local_rank, local_size
        The same among the processes of this host.
    device
        Where this rank computes: its GPU when PyTorch sees one, else the CPU.
    """

    name: str

    def __init__(self, world: MPI.Comm = MPI.COMM_WORLD) -> None:
        if not MPI.Is_initialized():  # a session that planned a study first kept mpi4py from it
            MPI.Init_thread()
            atexit.register(MPI.Finalize)
        super().__init__(world)
        host = world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = host.Get_rank(), host.Get_size()
        host.Free()
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            self.device = torch.device("cuda", self.local_rank % torch.cuda.device_count())
            torch.cuda.set_device(self.device)

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        return self.comm.bcast(value)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the element-wise sum over ranks of a float64 array."""
        total = np.empty_like(values, dtype=np.float64)
        self.comm.Allreduce(np.ascontiguousarray(values, dtype=np.float64), total)
        return total

    def largest(self, value: int) -> int:
        """Return the largest of the ranks' values: how ranks agree on a flag or an error."""
        return int(self.comm.allreduce(value, MPI.MAX))

    @abstractmethod
    def attach(
        self,
        method: nn.Module,
        optimizer: Optimizer,
        reduction: Reduction = "average",
        compression: Compression = "none",
    ) -> tuple[nn.Module, Optimizer]:
        """Prepare a method and its optimiser for data-parallel steps.

        ``reduction`` and ``compression`` other than the defaults need Horovod.

        Call the returned module for the loss, and drive the returned optimiser through
        :meth:`finish` and :meth:`update` only. Parameters must be equal on all ranks before.
        """

    @abstractmethod
    def finish(self, method: nn.Module, optimizer: Optimizer) -> None:
        """Wait until the gradients are averages over ranks (in place), after ``backward``."""

    def update(self, optimizer: Optimizer) -> None:
        """Take the optimiser's step with the averaged gradients."""
        optimizer.step()

    @abstractmethod
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over ranks in place, outside the training step."""

    def details(self) -> dict[str, Any]:
        """Return what a record should say of this back-end: transport and its knobs."""
        return {}

    def metrics(self) -> list[Metric]:
        """Return what averaging did to the gradients, where that is counted; all ranks call."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Release what the back-end holds."""


BACKENDS = {
    "horovod": "horovod:Horovod",
    "ddp": "ddp:DistributedDataParallel",
    "mpi": "flat_mpi:FlatMPI",
    "none": "alone:Alone",
}
"""Back-end name → where its communicator is; imported only when used."""


def communicator(name: str) -> Communicator:
    """Start the back-end of a name; raise :class:`InputError` naming the valid ones."""
    if name not in BACKENDS:
        valid = ", ".join(BACKENDS)
        raise InputError(
            f'train.backend: "{name}" is no back-end{nearest(name, BACKENDS)}; valid: {valid}'
        )
    module, _, attribute = BACKENDS[name].partition(":")
    backend: type[Communicator] = getattr(
        importlib.import_module(f"hpcbench.parallel.{module}"), attribute
    )
    return backend()
