"""What a run sets in its process, and gives back: threads and the random state of PyTorch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch


@contextmanager
def callers_state(device: torch.device) -> Iterator[None]:
    """Give PyTorch's number of threads and random state back at the end."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def share_threads(local_size: int) -> int:
    """Share the cores that this host may use among its ranks, unless OMP_NUM_THREADS says so.

    Returns the threads of this rank.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(psutil.Process().cpu_affinity() or []) or os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // local_size))
    return torch.get_num_threads()
