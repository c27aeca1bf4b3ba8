"""Which windows of the trajectories every training step sees, for any number of ranks.

Terms: a *segment* is ``carry`` consecutive steps of one trajectory, cut into windows of
``window`` steps; the network's state is carried through a segment and starts from zero in the
next. A *row* is one of the ``global_batch`` segments that a step advances side by side. Rank r of
R owns the rows ``r B/R … (r+1) B/R - 1``, so what is computed is defined by the global batch and
not by the number of ranks.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpcbench.data.dataset import Dataset
from hpcbench.errors import InputError


def stream(seed: int, purpose: int, *counter: int) -> np.random.Generator:
    """Return the counter-based generator of one purpose at one place (Salmon et al. 2011)."""
    key = np.array([seed, purpose], dtype=np.uint64)
    position = np.zeros(4, dtype=np.uint64)
    position[4 - len(counter) :] = counter
    return np.random.Generator(np.random.Philox(key=key, counter=position))


ORDER, NOISE, CHOICE = 1, 2, 3
"""Purposes of the random streams of training."""


@dataclass(frozen=True)
class RowRandom:
    """Random numbers of a step, one independent stream per global row.

    A row draws the same numbers on whichever rank it lies.
    """

    seed: int
    step: int
    rows: range

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Return standard normal numbers ``(rows, *shape)`` in float64."""
        draws = [stream(self.seed, NOISE, self.step, row).normal(size=shape) for row in self.rows]
        return torch.from_numpy(np.stack(draws))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Return numbers ``(rows, *shape)`` between 0 and 1 in float64."""
        draws = [stream(self.seed, CHOICE, self.step, row).random(size=shape) for row in self.rows]
        return torch.from_numpy(np.stack(draws))


@dataclass(frozen=True)
class WindowPlan:
    """The order in which segments of the training trajectories are visited.

    An epoch starts every trajectory at a random phase below ``carry``, cuts it into as many
    whole segments as fit, and visits the segments of all trajectories in random order. The
    fewer than ``global_batch`` segments left over at its end are dropped.

    members
        Indices of the trajectories, ``(member,)``.
    num_samples
        Samples of each trajectory.
    window, carry
        Steps of a window and of a segment; ``carry`` is a multiple of ``window``.
    global_batch
        Rows advanced by one step, over all ranks.
    seed
        Seed of the order.
    reach
        Samples before a segment that its first step must know as well.
    """

    members: np.ndarray
    num_samples: int
    window: int
    carry: int
    global_batch: int
    seed: int
    reach: int = 0

    def __post_init__(self) -> None:
        if self.reach >= self.num_samples:
            raise InputError(
                f"embedding.delay: the delays reach back {self.reach} steps, but a trajectory has "
                f"{self.num_samples}; give fewer or shorter delays"
            )
        if self.segments_per_trajectory < 1:
            raise InputError(
                f"train.carry: given {self.carry}, but a trajectory of {self.num_samples} samples "
                f"has room for at most {(self.num_samples - self.reach) // 2} steps at every phase"
            )
        if self.segments_per_epoch < self.global_batch:
            raise InputError(
                f"train.global_batch: given {self.global_batch}, but the {len(self.members)} "
                f"training trajectories hold only {self.segments_per_epoch} segments of "
                f"{self.carry} steps; give at most that, or a shorter train.carry"
            )

    @property
    def segments_per_trajectory(self) -> int:
        """Whole segments in a trajectory, whatever the phase."""
        return (self.num_samples - self.reach - self.carry) // self.carry

    @property
    def segments_per_epoch(self) -> int:
        """Segments of all trajectories in one epoch."""
        return len(self.members) * self.segments_per_trajectory

    @property
    def windows_per_segment(self) -> int:
        """Steps of training that one segment lasts."""
        return self.carry // self.window

    @property
    def steps_per_epoch(self) -> int:
        """Steps of training in one epoch."""
        return self.segments_per_epoch // self.global_batch * self.windows_per_segment

    def rows(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return trajectory and first sample of every global row's window at a step."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        round_in_epoch, part = divmod(step_in_epoch, self.windows_per_segment)
        phases, order = self._epoch(epoch)
        first = round_in_epoch * self.global_batch
        chosen = order[first : first + self.global_batch]
        member, segment = np.divmod(chosen, self.segments_per_trajectory)
        starts = phases[member] + segment * self.carry + part * self.window
        return self.members[member], starts + self.reach

    def starts_segment(self, step: int) -> bool:
        """Tell whether the carried state is reset before this step."""
        return step % self.steps_per_epoch % self.windows_per_segment == 0

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        return _draw_epoch(self.seed, epoch, len(self.members), self.carry, self.segments_per_epoch)


@functools.lru_cache(maxsize=2)
def _draw_epoch(
    seed: int, epoch: int, num_members: int, carry: int, num_segments: int
) -> tuple[np.ndarray, np.ndarray]:
    random = stream(seed, ORDER, epoch)
    return random.integers(0, carry, size=num_members), random.permutation(num_segments)


def read_windows(
    dataset: Dataset, members: np.ndarray, starts: np.ndarray, num_samples: int
) -> np.ndarray:
    """Return ``num_samples`` samples of each row from its start, ``(row, sample, component)``."""
    windows = np.empty((len(members), num_samples, dataset.num_components), dataset.dtype)
    for row, (member, start) in enumerate(zip(members, starts, strict=True)):
        windows[row] = dataset.trajectory(member)[start : start + num_samples]
    return windows
