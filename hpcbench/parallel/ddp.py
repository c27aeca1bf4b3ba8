"""Gradients averaged by PyTorch's own ``DistributedDataParallel``."""

import socket
from collections.abc import Sequence
from typing import Any

import torch
from mpi4py import MPI
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.parallel.communicator import Communicator, Compression, Reduction


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
