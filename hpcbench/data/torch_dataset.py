"""Windows of a dataset for PyTorch's own data loaders, for training loops that are not ours."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.format import Split
from hpcbench.errors import InputError


class WindowDataset(TorchDataset[Tensor]):
    """All windows of one split, each ``(window, component)``; a map-style dataset.

    Windows are ordered by trajectory, then by time; a window lies within one trajectory. The file
    is opened in each process when that first reads from it, so that worker processes of a
    ``torch.utils.data.DataLoader``, forked or spawned, share nothing but the path and these
    settings.

    Parameters
    ----------
    path
        The dataset; not compressed, because windows are read at random places.
    split
        ``train``, ``validation`` or ``test``.
    window
        Samples of a window, at least 1.
    stride
        Samples between the starts of two windows; by default ``window``, so that they touch and
        do not overlap.
    normalised
        Give ``(state - mean) / std`` with mean and standard deviation of each component over the
        training split; otherwise states in the system's units.
    dtype
        Type of the tensors: ``torch.float32`` or ``torch.float64``.

    Raises
    ------
    InputError
        The file cannot be read or is compressed, the split is unknown, or a trajectory is shorter
        than the window.
    """

    def __init__(
        self,
        path: Path | str,
        split: Split = "train",
        *,
        window: int,
        stride: int | None = None,
        normalised: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.path = Path(path).absolute()
        self.split, self.window, self.normalised, self.dtype = split, window, normalised, dtype
        self.stride = window if stride is None else stride
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"dtype: given {dtype}; valid: torch.float32, torch.float64")
        self._dataset: Dataset | None = None
        dataset = self.dataset
        if not 1 <= window <= dataset.num_samples:
            raise InputError(
                f"window: given {window}; the trajectories of {path} have {dataset.num_samples} "
                f"samples; valid: 1 to {dataset.num_samples}"
            )
        if self.stride < 1:
            raise InputError(f"stride: given {stride}; give at least 1")
        self._members = dataset.members(split)
        self._per_member = (dataset.num_samples - window) // self.stride + 1

    @property
    def dataset(self) -> Dataset:
        """The dataset, opened by this process."""
        if self._dataset is None:
            self._dataset = open_dataset(self.path, mapped=True)
        return self._dataset

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_dataset": None}

    def __len__(self) -> int:
        return len(self._members) * self._per_member

    def place(self, index: int) -> tuple[int, int]:
        """Return the trajectory and the first sample of a window."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        member, start = divmod(index % len(self), self._per_member)
        return int(self._members[member]), start * self.stride

    def __getitem__(self, index: int) -> Tensor:
        """Return one window, ``(window, component)``."""
        member, start = self.place(index)
        states = np.array(self.dataset.trajectory(member)[start : start + self.window])
        if self.normalised:
            states = (states.astype(np.float64) - self.dataset.mean) / self.dataset.std
        return torch.from_numpy(states).to(self.dtype)
