"""How ranks are started on this machine: the launcher, its version, its options and variables.

Needs the standard library alone at import: set-up uses it before anything is installed.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hpcbench.errors import EnvironmentLacks


def find_launcher() -> str | None:
    """Return the environment's mpirun, or the first on PATH."""
    own = str(Path(sys.executable).parent)
    return next(
        (
            found
            for path in (own, None)
            for name in ("mpirun", "mpiexec")
            if (found := shutil.which(name, path=path))
        ),
        None,
    )


@functools.cache
def open_mpi_version(launcher: str) -> int | None:
    """Return the major version of an Open MPI launcher, or None for another MPI.

    Raises :class:`EnvironmentLacks` when the launcher does not start.
    """
    try:
        answer = subprocess.run(
            [launcher, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLacks(f"{launcher}: does not start: {error}") from None
    found = re.search(r"Open ?MPI\)? v?(\d+)", answer.stdout, re.IGNORECASE)
    return int(found.group(1)) if found else None


def launcher_options(launcher: str, num_ranks: int, num_slots: int) -> list[str]:
    """Return the options this kind of launcher needs; Open MPI alone refuses root and counts.

    Ranks are not bound to single cores, so that a rank's threads and several jobs at a time can
    share the machine.

    Parameters
    ----------
    launcher
        Path of mpirun or mpiexec.
    num_ranks, num_slots
        Ranks to start, and the ranks that Open MPI starts without being told to oversubscribe.
    """
    version = open_mpi_version(launcher)
    if version is None:
        return []
    options = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    options += ["--bind-to", "none"]
    if num_ranks > num_slots:
        options += ["--map-by", ":OVERSUBSCRIBE"] if version >= 5 else ["--oversubscribe"]
    return options


def launch_environment() -> dict[str, str]:
    """Return what lets any mpirun start as root and with more ranks than cores.

    The same as :func:`launcher_options`, for command lines that are written elsewhere; one thread
    a rank.
    """
    return {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMP_NUM_THREADS": "1",
    }
