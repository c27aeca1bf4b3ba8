"""A dataset as a forecaster observes it: every n-th sample of every n-th component."""

from typing import Any

import numpy as np

from hpcbench.data.dataset import Dataset
from hpcbench.data.format import Split
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.errors import InputError


class ObservedDataset(Dataset):
    """A coarser view of an open dataset; states are still mapped into memory.

    A trajectory becomes ``stride`` sub-series, one of each phase. All of them are for training;
    validation and test keep the first, because sub-series of one trajectory are hardly
    independent. Sub-series p of trajectory m has the index ``m * stride + p``.

    Parameters
    ----------
    source
        The open dataset; closing the view closes it.
    stride
        Samples of the source between two of the view.
    observe_every
        Components of the source between two of the view.
    """

    def __init__(self, source: Dataset, stride: int, observe_every: int) -> None:
        vars(self).update(vars(source))
        self.source, self.stride, self.observe_every = source, stride, observe_every
        self.mean = source.mean[::observe_every]
        self.std = source.std[::observe_every]

    def __getstate__(self) -> dict[str, Any]:
        names = ("source", "stride", "observe_every")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Look at the file again, which the source has opened."""
        self.__init__(**state)  # type: ignore[misc]

    def close(self) -> None:
        """Let go of the mapped files of the source too."""
        super().close()
        self.source.close()

    @property
    def sample_interval(self) -> float:
        """Model time between two samples of the view."""
        return self.source.sample_interval * self.stride

    @property
    def num_samples(self) -> int:
        """Number of samples of each sub-series."""
        return self.source.num_samples // self.stride

    @property
    def num_components(self) -> int:
        """Number of components that are seen."""
        return len(self.mean)

    def members(self, split: Split) -> np.ndarray:
        """Return the indices of the sub-series of a split: all first phases, all second ones …"""
        first = self.source.members(split) * self.stride
        phases = np.arange(self.stride if split == "train" else 1)
        return np.asarray(first + phases[:, None]).ravel()

    def trajectory(self, member: int) -> np.ndarray:
        """Return one sub-series, ``(time, component)``, a read-only map into the file."""
        whole, phase = divmod(int(member), self.stride)
        states = self.source.trajectory(whole)[phase :: self.stride, :: self.observe_every]
        return states[: self.num_samples]


def observe(dataset: Dataset, embedding: EmbeddingConfig) -> Dataset:
    """Return a dataset as an embedding sees it: itself, where nothing is left out.

    Raises :class:`InputError` where nothing would be left.
    """
    if embedding.stride == embedding.observe_every == 1:
        return dataset
    if dataset.num_samples // embedding.stride < 2:
        raise InputError(
            f"embedding.stride: given {embedding.stride}, but a trajectory of {dataset.path} has "
            f"{dataset.num_samples} samples; valid: 1 to {dataset.num_samples // 2}"
        )
    if embedding.observe_every > dataset.num_components:
        raise InputError(
            f"embedding.observe_every: given {embedding.observe_every}, but {dataset.path} has "
            f"{dataset.num_components} components; valid: 1 to {dataset.num_components}"
        )
    return ObservedDataset(dataset, embedding.stride, embedding.observe_every)
