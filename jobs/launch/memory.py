"""Processes that the kernel killed for want of memory, as this process's control group counts them.

Ranks that mpirun starts on this node are in the group of their driver. Slurm reports what its own
step groups count; elsewhere nobody else tells a killed rank from a crashed one.
"""

import re
from pathlib import Path

from jobs.launch.machine import read_text

ROOT = Path("/")


def out_of_memory_kills(root: Path = ROOT) -> int:
    """Return how many processes of this control group were killed so far, 0 where nobody counts."""
    count = 0
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        # The second version has one tree for all controllers, the first one for each.
        if controllers == "":
            counter = root / f"sys/fs/cgroup{group}/memory.events"
        elif "memory" in controllers.split(","):
            counter = root / f"sys/fs/cgroup/memory{group}/memory.oom_control"
        else:
            continue
        found = re.search(r"^oom_kill (\d+)$", read_text(counter), re.MULTILINE)
        count += int(found.group(1)) if found else 0
    return count
