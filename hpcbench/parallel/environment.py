"""What launchers tell the processes they start through the environment: the one list of names.

Needs the standard library alone and starts no MPI.
"""

import os
from collections.abc import Mapping

RANK = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
"""Variables that state a process's rank, the most trusted one first."""

LAUNCHED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK", "MPI_LOCALNRANKS")
"""Variables that mpirun and srun set for the processes they start."""

FOREIGN_JOB = ("PMIX_", "PMI_", "PRTE_", "OMPI_COMM_", "OMPI_MCA_orte", "HYDRA_", "MPI_LOCAL")
"""How the variables of a surrounding MPI job begin."""


def launched_rank() -> int:
    """Return this process's rank as its launcher states it, without starting MPI (0: alone)."""
    return next((int(os.environ[name]) for name in RANK if name in os.environ), 0)


def is_launched() -> bool:
    """Tell whether an MPI launcher started this process."""
    return any(name in os.environ for name in LAUNCHED)


def without_foreign_job(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those of a surrounding MPI job.

    A nested launcher would take itself for one of that job's ranks.
    """
    return {name: value for name, value in environment.items() if not name.startswith(FOREIGN_JOB)}
