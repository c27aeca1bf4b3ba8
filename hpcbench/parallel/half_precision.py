"""Gradients that travel as fp16, and what that loses."""

import torch
from torch import Tensor


class HalfPrecision:
    """A compressor for Horovod that counts what fp16 cannot hold.

    Half precision spans 6e-8 to 65,504: smaller gradients become zero, and a weight whose gradient
    always does no longer learns.

    Attributes
    ----------
    sent, underflows
        Numbers sent by this rank so far, and those of them that became zero on the way.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.underflows = torch.zeros((), dtype=torch.int64)

    def compress(self, tensor: Tensor) -> tuple[Tensor, torch.dtype]:
        """Return the tensor as it travels, and its type."""
        half = tensor.to(torch.float16)
        self.sent += tensor.numel()
        # summed up on the device: to read a number back would make a GPU wait
        self.underflows = self.underflows.to(tensor.device) + ((half == 0) & (tensor != 0)).sum()
        return half, tensor.dtype

    def decompress(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """Return what arrived in its own type."""
        return tensor.to(dtype)
