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

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.errors import EnvironmentLacks, InputError, nearest
from hpcbench.parallel.half_precision import HalfPrecision
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


class Alone(Communicator):
    """``none``: ranks do not exchange gradients."""

    name = "none"

    def attach(
        self,
        method: nn.Module,
        optimizer: Optimizer,
        reduction: Reduction = "average",
        compression: Compression = "none",
    ) -> tuple[nn.Module, Optimizer]:
        """Return both unchanged."""
        return method, optimizer

    def finish(self, method: nn.Module, optimizer: Optimizer) -> None:
        """Leave the gradients as they are."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Leave the tensors as they are."""

    def close(self) -> None:
        """Do nothing: MPI ends with the process."""


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


class Horovod(Communicator):
    """``horovod``: the default."""

    name = "horovod"

    def __init__(self, world: MPI.Comm = MPI.COMM_WORLD) -> None:
        super().__init__(world)
        try:
            import horovod.torch as hvd
        except ImportError as error:
            raise EnvironmentLacks(
                f'train.backend: "horovod" is not installed ({error}); run `make setup`, or '
                'choose "ddp", "mpi" or, on one rank, "none"'
            ) from None
        self.hvd: Any = hvd
        self.adasum = False
        self.half: HalfPrecision | None = None
        hvd.init()
        if (hvd.rank(), hvd.size()) != (self.rank, self.size):
            raise EnvironmentLacks(
                f"Horovod sees rank {hvd.rank()} of {hvd.size()}, MPI sees rank {self.rank} of "
                f"{self.size}: they were built against different MPI libraries; run `make setup`"
            )

    def attach(
        self,
        method: nn.Module,
        optimizer: Optimizer,
        reduction: Reduction = "average",
        compression: Compression = "none",
    ) -> tuple[nn.Module, Optimizer]:
        """Wrap the optimiser: its hooks start averaging while the backward pass still runs.

        ``adasum`` combines the ranks' *steps* instead of their gradients (Maleki et al. 2021);
        it needs a power of two of ranks.
        """
        self.adasum = reduction == "adasum" and self.size > 1
        if self.adasum and self.size & (self.size - 1):
            lower = 1 << (self.size.bit_length() - 1)
            raise InputError(
                f'train.reduction: "adasum" combines a power of two of ranks, given {self.size}; '
                f'start {lower} or {2 * lower} ranks, or choose "average"'
            )
        self.half = HalfPrecision() if compression == "fp16" else None
        wrapped = self.hvd.DistributedOptimizer(
            optimizer,
            named_parameters=list(method.named_parameters()),
            compression=self.half or self.hvd.Compression.none,
            op=self.hvd.Adasum if self.adasum else self.hvd.Average,
        )
        return method, wrapped

    def finish(self, method: nn.Module, optimizer: Optimizer) -> None:
        """Wait for the averages that the hooks have started."""
        if not self.adasum:
            optimizer.synchronize()  # type: ignore[attr-defined]

    def update(self, optimizer: Optimizer) -> None:
        """Step without waiting a second time."""
        if self.adasum:  # the hooks have taken the steps already; now they are combined
            optimizer.step()
            return
        with optimizer.skip_synchronize():  # type: ignore[attr-defined]
            optimizer.step()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors in one fused group."""
        for tensor, mean in zip(tensors, self.hvd.grouped_allreduce(list(tensors)), strict=True):
            tensor.copy_(mean)

    def details(self) -> dict[str, Any]:
        """Return the transport and the two knobs that matter most."""
        hvd = self.hvd
        on_gpu = self.device.type == "cuda" and bool(hvd.nccl_built())
        transport = "nccl" if on_gpu else "mpi" if hvd.mpi_enabled() else "gloo"
        knobs = ("HOROVOD_CYCLE_TIME", "HOROVOD_FUSION_THRESHOLD")
        return {"transport": transport} | {knob: os.environ.get(knob, "") for knob in knobs}

    def metrics(self) -> list[Metric]:
        """Return the share of the gradients that fp16 turned into zeros."""
        if self.half is None or self.size == 1:  # one rank sends nothing
            return []
        sent, lost = self.sum(np.array([self.half.sent, float(self.half.underflows)]))
        share = float(lost / max(sent, 1))
        return [Metric("gradient_underflow_share", share, "", "lower", int(sent))]

    def close(self) -> None:
        """Stop Horovod's background thread."""
        self.hvd.shutdown()


class DistributedDataParallel(Communicator):
    """``ddp``: PyTorch's own, over NCCL when every rank has a GPU, else gloo."""

    name = "ddp"

    def __init__(self, world: MPI.Comm = MPI.COMM_WORLD) -> None:
        super().__init__(world)
        self.transport = "nccl" if self.device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(
            self.transport,
            init_method=f"tcp://{self._meeting_point()}",
            rank=self.rank,
            world_size=self.size,
        )

    def _meeting_point(self) -> str:
        """Return a host and free port of rank 0 that every rank can name."""
        place = ""
        if self.is_first:
            alone = self.local_size == self.size
            with socket.socket() as probe:
                probe.bind(("", 0))
                port = probe.getsockname()[1]
            place = f"{'127.0.0.1' if alone else socket.gethostname()}:{port}"
        return str(self.broadcast(place))

    def attach(
        self,
        method: nn.Module,
        optimizer: Optimizer,
        reduction: Reduction = "average",
        compression: Compression = "none",
    ) -> tuple[nn.Module, Optimizer]:
        """Wrap the method: its hooks average bucket by bucket during the backward pass."""
        devices = [self.device] if self.device.type == "cuda" else None
        wrapped = nn.parallel.DistributedDataParallel(
            method, device_ids=devices, forward_sync_buffers=False, gradient_as_bucket_view=True
        )
        return wrapped, optimizer

    def finish(self, method: nn.Module, optimizer: Optimizer) -> None:
        """Do nothing: the backward pass ends when the averages are there."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors one by one."""
        for tensor in tensors:
            torch.distributed.all_reduce(tensor)
            tensor /= self.size

    def details(self) -> dict[str, Any]:
        """Return the transport."""
        return {"transport": self.transport}

    def close(self) -> None:
        """Leave the process group."""
        torch.distributed.destroy_process_group()


BACKENDS: dict[str, type[Communicator]] = {
    backend.name: backend for backend in (Horovod, DistributedDataParallel, FlatMPI, Alone)
}
"""Back-end name → its communicator."""


def communicator(name: str) -> Communicator:
    """Start the back-end of a name; raise :class:`InputError` naming the valid ones."""
    if name not in BACKENDS:
        valid = ", ".join(BACKENDS)
        raise InputError(
            f'train.backend: "{name}" is no back-end{nearest(name, BACKENDS)}; valid: {valid}'
        )
    return BACKENDS[name]()
