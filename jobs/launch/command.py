"""What starts the ranks of a point: the launcher's words, then the program's.

One home for both, so that ``hpcbench plan`` prints what a job runs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.launch.mpirun import mpirun_command
from jobs.site.placement import Placement

if TYPE_CHECKING:
    from jobs.site.profile import Site


def hpcbench_argv(*arguments: str | Path) -> list[str]:
    """Return ``hpcbench ARGUMENTS`` as an argument list of this very interpreter."""
    return [sys.executable, "-P", "-m", "hpcbench.cli", *(str(word) for word in arguments)]


def train_argv(config: Path, dataset: Path, attempt: Path, resume: bool) -> list[str]:
    """Return what one rank of a point runs."""
    options = ["--resume"] if resume else []
    return hpcbench_argv("train", config, "--data", dataset, "--out", attempt, *options)


def ranks_command(
    site: "Site", placement: Placement, ranks: int, argv: Sequence[str | Path]
) -> list[str]:
    """Return ``argv`` on some ranks of an allocation, or of this machine, under a site's launcher.

    Raises
    ------
    EnvironmentLacks
        The launcher is mpirun, and there is none.
    """
    words = [str(word) for word in argv]
    if site.launcher == "mpirun":
        return mpirun_command(ranks, words)
    return [
        "srun",
        f"--ntasks={ranks}",
        f"--nodes={min(placement.nodes, ranks)}",
        f"--ntasks-per-node={placement.ranks_per_node}",
        f"--cpus-per-task={placement.cores_per_rank}",
        "--kill-on-bad-exit=1",
        # sbatch passes an allow-list on; the ranks get what this driver has.
        "--export=ALL",
        *([f"--gpu-bind={site.gpu_bind}"] if site.gpu_bind else []),
        *site.launcher_options,
        *words,
    ]
