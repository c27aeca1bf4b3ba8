"""What communication, reading and writing cost inside a job, measured before its first step.

A step time says little about a machine until it is set beside what the same ranks, at the same
hour, needed for one allreduce, one batch and one file. Every number is the slowest rank's, after
a barrier. The whole takes less than a second and ends early where the machine is slow; the
training that follows computes the same bits with and without it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch

from hpcbench.data.dataset import Dataset
from hpcbench.data.windows import WindowPlan, read_windows
from hpcbench.parallel.communicator import Communicator
from hpcbench.run.record import Metric
from hpcbench.run.timing import clock

MESSAGE_BYTES = (1 << 10, 1 << 14, 1 << 18, 1 << 20, 1 << 22)
"""Sizes of the allreduces, besides that of the gradient."""

NUM_REPEATS = 5
"""Timings of each size, after one that is not counted: buffers, negotiation."""

NUM_BATCHES = 4
WRITTEN_BYTES = 1 << 23
FILE_NAME = ".write-baseline"


@dataclass
class Baselines:
    """What was measured; arrays are empty where nothing was.

    Attributes
    ----------
    allreduce_bytes, allreduce_seconds
        Message size, (size), and times, (size, repeat). The back-end's own averaging is timed: a
        blocking call of Horovod waits for its cycle, and that waiting is in the number.
    read_bytes, read_seconds
        Bytes of a batch over all ranks, (batch), and times, (pass, batch): the first pass as the
        run finds the file, the second on what the page cache then holds.
    write_bytes, write_seconds
        Size of the file that one rank writes and syncs to disk, as a checkpoint is, (1), and
        time, (1).
    """

    allreduce_bytes: np.ndarray = field(default_factory=lambda: np.empty(0))
    allreduce_seconds: np.ndarray = field(default_factory=lambda: np.empty((0, NUM_REPEATS)))
    read_bytes: np.ndarray = field(default_factory=lambda: np.empty(0))
    read_seconds: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    write_bytes: np.ndarray = field(default_factory=lambda: np.empty(0))
    write_seconds: np.ndarray = field(default_factory=lambda: np.empty(0))

    def metrics(self) -> list[Metric]:
        """Return the rates of reading and writing, in bytes per second."""
        found = []
        for which, seconds in zip(("", "_again"), self.read_seconds, strict=False):
            rate = float(self.read_bytes.sum() / seconds.sum())
            name = f"read{which}_bytes_per_second"
            found.append(Metric(name, rate, "bytes/s", "higher", len(seconds)))
        if len(self.write_seconds):
            rate = float(self.write_bytes.sum() / self.write_seconds.sum())
            found.append(Metric("write_bytes_per_second", rate, "bytes/s", "higher"))
        return found

    def write(self, file: h5py.File) -> None:
        """Add the arrays to an open ``metrics.h5``."""
        for name, values in vars(self).items():
            if values.size:
                file[name] = values


def measure_baselines(
    ranks: Communicator,
    dataset: Dataset,
    plan: WindowPlan,
    gradient_bytes: int,
    folder: Path,
    limit_seconds: float,
) -> Baselines:
    """Measure what fits into a time limit: reading, writing, then allreduces by growing size.

    Parameters
    ----------
    ranks
        The run's communicator; the back-end ``none`` and a single rank have no allreduce.
    dataset, plan
        What the run reads, and how it is cut into batches.
    gradient_bytes
        Size of the gradient, one of the messages.
    folder
        Where the run writes, on rank 0.
    limit_seconds
        After this long nothing further begins; 0 measures nothing.
    """
    found = Baselines()
    end = clock() + limit_seconds

    def late() -> bool:
        return bool(ranks.largest(int(clock() >= end)))

    if late():
        return found
    found.read_bytes, found.read_seconds = time_reading(ranks, dataset, plan)
    if not late():
        found.write_bytes, found.write_seconds = time_writing(ranks, folder)
    if ranks.size == 1 or ranks.name == "none":
        return found
    # the first calls set up connections and threads; a run of them counts for nothing
    time_allreduce(ranks, MESSAGE_BYTES[0])
    sizes, seconds = [], []
    for size in sorted({*MESSAGE_BYTES, gradient_bytes}):
        if late():
            break
        sizes.append(size)
        seconds.append(time_allreduce(ranks, size))
    found.allreduce_bytes = np.array(sizes, dtype=float)
    found.allreduce_seconds = np.array(seconds, dtype=float).reshape(len(sizes), NUM_REPEATS)
    return found


def slowest(ranks: Communicator, action: Callable[[], object]) -> float:
    """Return the seconds of the slowest rank for an action that all begin together."""
    ranks.comm.Barrier()
    begin = clock()
    action()
    return max(ranks.gather(clock() - begin))


def time_allreduce(ranks: Communicator, num_bytes: int) -> list[float]:
    """Return the times of averaging one float32 message over the ranks."""
    message = torch.zeros(max(1, num_bytes // 4), device=ranks.device)

    def average() -> None:
        ranks.average([message])
        if message.is_cuda:
            torch.cuda.synchronize()

    return [slowest(ranks, average) for _ in range(NUM_REPEATS + 1)][1:]


def time_reading(
    ranks: Communicator, dataset: Dataset, plan: WindowPlan
) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes and times of reading a few batches, twice, shared out as in training."""
    rows = ranks.share(plan.global_batch)
    mine = slice(rows.start, rows.stop)
    length = plan.window + 1
    # the first window of different segments: the steps in between read next to it
    batches = [plan.rows(k * plan.windows_per_segment) for k in range(NUM_BATCHES)]

    def read(members: np.ndarray, starts: np.ndarray) -> None:
        read_windows(dataset, members[mine], starts[mine], length)

    members, starts = batches[0]
    one = read_windows(dataset, members[:1], starts[:1], length).nbytes
    seconds = [[slowest(ranks, partial(read, *batch)) for batch in batches] for _ in range(2)]
    return np.full(NUM_BATCHES, float(one * plan.global_batch)), np.array(seconds)


def time_writing(ranks: Communicator, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes and time of writing a file on rank 0 and syncing it to disk.

    Nothing is returned where the folder cannot be written; the first checkpoint says why.
    """
    seconds = -1.0
    if ranks.is_first:
        path = folder / FILE_NAME
        content = os.urandom(WRITTEN_BYTES)  # a file system may compress zeros
        begin = clock()
        try:
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            seconds = clock() - begin
            path.unlink()
        except OSError:
            path.unlink(missing_ok=True)
    seconds = ranks.gather(seconds)[0]
    if seconds <= 0:
        return np.empty(0), np.empty(0)
    return np.array([float(WRITTEN_BYTES)]), np.array([seconds])
