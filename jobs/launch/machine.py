"""What this machine gives its ranks: cores, the container's quota, settings of the allocator."""

import os
from pathlib import Path

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": 2**32,
    "MALLOC_TRIM_THRESHOLD_": 2**33,
    "MALLOC_TOP_PAD_": 2**28,
}
"""glibc settings that keep freed memory in the process: large activations then cost no page
faults at every training step."""


def usable_cores() -> int:
    """Return the cores this process may use, by its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(read_text("/sys/fs/cgroup/cpu.max"))
    return cores if quota is None else max(1, min(cores, round(quota)))


def cpu_quota(text: str) -> float | None:
    """Return the cores a cgroup grants, from its ``cpu.max``; None where it sets no limit."""
    quota, _, period = text.strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def read_text(path: str | Path) -> str:
    """Return the text of a system file, empty where there is none."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
