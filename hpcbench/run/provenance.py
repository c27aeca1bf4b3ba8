"""Where a run ran and with what: collected on every rank, gathered by rank 0."""

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from hpcbench.run.source_version import ROOT

ENVIRONMENT = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "HOROVOD_CYCLE_TIME",
    "HOROVOD_FUSION_THRESHOLD",
    "HOROVOD_GPU_OPERATIONS",
    "NCCL_SOCKET_IFNAME",
    "OMPI_COMM_WORLD_SIZE",
)
"""Variables that are recorded: an allow-list, never the whole environment."""

SLURM = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_NODELIST",
    "SLURM_JOB_PARTITION",
    "SLURM_NTASKS",
    "SLURM_RESTART_COUNT",
)

PACKAGES = ("torch", "horovod", "mpi4py", "h5py", "numpy", "submitit", "pandas")


def rank_provenance(rank: int, threads: int) -> dict[str, Any]:
    """Return what is known of this rank's place: host, CPU, binding, GPU, versions, job."""
    import torch

    return {
        "rank": rank,
        "host": platform.node(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "binding": sorted(psutil.Process().cpu_affinity() or []),
        "threads": threads,
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
        "mpi": _mpi_library(),
        "hdf5": _hdf5(),
        "nccl": _nccl(),
        "slurm": {name: os.environ[name] for name in SLURM if name in os.environ},
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }


def code_version() -> dict[str, str | None]:
    """Return the package version, the git commit and a hash of uncommitted changes."""
    commit = _git(ROOT, "rev-parse", "HEAD")
    changes = _git(ROOT, "diff", "HEAD") if commit else None
    dirty = hashlib.sha256(changes.encode()).hexdigest()[:16] if changes else None
    return {"version": _version("hpcbench-suite"), "commit": commit, "dirty": dirty}


def cpu_model() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _mpi_library() -> str:
    from mpi4py import MPI

    return MPI.Get_library_version().splitlines()[0].strip(" \0")


def _hdf5() -> dict[str, Any]:
    import h5py

    return {"version": h5py.version.hdf5_version, "mpi": bool(h5py.get_config().mpi)}


def _nccl() -> str | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return ".".join(str(part) for part in torch.cuda.nccl.version())
