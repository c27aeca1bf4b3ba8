"""Datasets that go on where a finished one ends."""

from pathlib import Path

import numpy as np

from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.format import Header, read_hdf5
from hpcbench.errors import InputError


class Extended:
    """A finished dataset whose samples are the beginning of a longer one.

    path
        Of the finished dataset.
    header
        Of the longer one: the same but for the number of samples.
    kernel
        What is to take the steps.

    Raises :class:`InputError` where one is not the beginning of the other.
    """

    def __init__(self, path: Path, header: Header, kernel: str) -> None:
        self._dataset: Dataset = open_dataset(path, mapped=True)
        found = self._dataset.header
        others = differences(found, header)
        others.pop("num_samples", None)
        if others:
            raise InputError(
                f"--extend: {path} is not the beginning of this dataset: "
                f"{', '.join(others.values())}; only sampling.num_samples may differ"
            )
        if header.num_samples <= found.num_samples:
            raise InputError(
                f"sampling.num_samples: given {header.num_samples}, but {path} has "
                f"{found.num_samples} already; give more"
            )
        if (before := self._dataset.generator.get("kernel", kernel)) != kernel:
            raise InputError(
                f'integration.kernel: {path} was made by "{before}", and here it would be extended '
                f'by "{kernel}", which rounds differently; extend it where it was made '
                "(integration.kernel and the variable HPCBENCH_KERNELS choose)"
            )
        self.num_samples = found.num_samples
        self.content_hash = self._dataset.content_hash

    def final_states(self, members: range) -> np.ndarray:
        """Return the last states of some trajectories in float64, ``(trajectory, component)``."""
        rows = slice(members.start, members.stop)
        return read_hdf5(self._dataset.path, lambda file: file["final_state"][rows])

    def copy(self, members: range, first: int, samples: np.ndarray) -> None:
        """Fill ``(trajectory, time, component)`` with the samples from ``first`` on."""
        for trajectory, member in zip(samples, members, strict=True):
            trajectory[...] = self._dataset.trajectory(member)[first : first + len(trajectory)]


def differences(found: Header, wanted: Header) -> dict[str, str]:
    """Return the fields in which a dataset is not the one that is wanted, each in words.

    Exponents do not count: they may have become better known.
    """
    ours, theirs = wanted.model_dump(), found.model_dump()
    names = [n for n in ours if ours[n] != theirs[n] and not n.startswith("lyapunov")]
    return {name: f"{name} is {theirs[name]}, not {ours[name]}" for name in names}
