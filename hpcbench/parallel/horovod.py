"""Gradients averaged by Horovod while the backward pass still runs."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.errors import EnvironmentLacks, InputError
from hpcbench.parallel.communicator import Communicator, Compression, Reduction
from hpcbench.parallel.half_precision import HalfPrecision
from hpcbench.run.record import Metric


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
