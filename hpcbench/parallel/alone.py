"""Ranks that train side by side: their gradients are wrong, and their time is a lower bound."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.parallel.communicator import Communicator, Compression, Reduction


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
