"""The launcher of this machine: its argument list and what its ranks find in their environment."""

import functools
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from hpcbench.errors import EnvironmentLacks
from jobs.doctor.hardware import ALLOCATOR, cpu_quota, read_text
from jobs.doctor.software import find_launcher


def usable_cores() -> int:
    """Return the cores this process may use, by its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(read_text("/sys/fs/cgroup/cpu.max"))
    return cores if quota is None else max(1, min(cores, round(quota)))


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

    Ranks are not bound to single cores, so that a rank's threads and several jobs at a time can
    share the machine. Raises :class:`EnvironmentLacks` when there is no launcher.
    """
    launcher = find_launcher()
    if launcher is None:
        raise EnvironmentLacks(
            "no mpirun or mpiexec found beside this Python or on PATH; load the site's MPI module, "
            "or get the one from pip: HPCBENCH_MPI=wheel make setup"
        )
    words = [str(word) for word in argv]
    return [launcher, *_launcher_options(launcher, num_ranks), "-n", str(num_ranks), *words]


def _launcher_options(launcher: str, num_ranks: int) -> list[str]:
    """Return the options this kind of launcher needs; Open MPI alone refuses root and counts."""
    version = open_mpi_version(launcher)
    if version is None:
        return []
    options = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    options += ["--bind-to", "none"]
    # A slot is a physical core; more ranks than slots have to be allowed.
    if num_ranks > min(usable_cores(), psutil.cpu_count(logical=False) or 1):
        options += ["--map-by", ":OVERSUBSCRIBE"] if version >= 5 else ["--oversubscribe"]
    return options


@functools.cache
def open_mpi_version(launcher: str) -> int | None:
    """Return the major version of an Open MPI launcher, or None for another MPI."""
    try:
        answer = subprocess.run(
            [launcher, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLacks(f"{launcher}: does not start: {error}") from None
    found = re.search(r"Open ?MPI\)? v?(\d+)", answer.stdout, re.IGNORECASE)
    return int(found.group(1)) if found else None
