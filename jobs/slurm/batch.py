"""Drivers handed to sbatch through submitit: a site's options, and the variables a job may see.

What is submitted is an importable function and the path of a job file, so nothing is pickled that
an edit could change, and no value reaches a shell.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from hpcbench.errors import EnvironmentLacks, InputError
from jobs.site.placement import Placement
from jobs.site.profile import Site

BASE_ENVIRONMENT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "MODULEPATH",
    "SLURM_CONF",
)
"""What every job gets of the submitting shell; a site's ``pass_environment`` adds to it."""

COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel")


@dataclass(frozen=True)
class Batch:
    """What one sbatch command asks for.

    Attributes
    ----------
    name
        Name of the jobs.
    site, placement
        The cluster's profile; nodes, ranks, cores, GPUs and minutes.
    dependency
        Number of a job that has to succeed first; empty for none.
    exclude
        Nodes that must not be used.
    """

    name: str
    site: Site
    placement: Placement
    dependency: str = ""
    exclude: Sequence[str] = ()

    def submit(
        self, driver: Callable[[str], None], files: Sequence[Path], folder: Path
    ) -> list[str]:
        """Submit ``driver(file)`` for each file, as an array when there are several.

        Logs go to ``folder``. Returns the job numbers; raises :class:`InputError` with Slurm's
        words when it refuses.
        """
        executor = submitit.SlurmExecutor(folder=folder)
        executor.update_parameters(**self.parameters(len(files)))
        try:
            with only_these_variables(self.site.pass_environment), executor.batch():
                jobs = [executor.submit(driver, str(file)) for file in files]
        except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
            raise InputError(f"sbatch refused the job: {str(error).strip()}") from None
        return [job.job_id for job in jobs]

    def parameters(self, count: int) -> dict[str, Any]:
        """Return submitit's parameters for ``count`` drivers."""
        site, placement = self.site, self.placement
        further: dict[str, Any] = {
            # All that sbatch itself is given: a list here would have Slurm start a login shell on
            # the node and add its variables, which takes a second and lets anything in.
            "export": "ALL",
            "requeue": True,
            # To the batch script alone: Slurm may send it a minute early. The driver keeps the
            # time and tells the ranks itself.
            "signal": f"B:USR2@{site.signal_seconds}",
            **site.options,
        }
        if site.reservation:
            further["reservation"] = site.reservation
        if self.dependency:
            further["kill-on-invalid-dep"] = "yes"
        parameters = {
            "job_name": self.name,
            "time": placement.minutes,
            "nodes": placement.nodes,
            "ntasks_per_node": placement.ranks_per_node,
            "cpus_per_task": placement.cores_per_rank,
            "gpus_per_node": placement.gpus_per_node or None,
            "partition": site.partition,
            "account": site.account,
            "qos": site.qos,
            "constraint": site.constraint,
            "mem": site.memory,
            "exclude": ",".join(self.exclude) or None,
            "exclusive": True if site.exclusive else None,
            "dependency": f"afterok:{self.dependency}" if self.dependency else None,
            "array_parallelism": site.throttle or count,
            "setup": setup_lines(site),
            "stderr_to_stdout": True,
            "use_srun": False,
            "wckey": None,
            "additional_parameters": further,
        }
        # wckey = None is meant; other parameters that are None are left to the site.
        return {k: v for k, v in parameters.items() if v is not None or k == "wckey"}


@contextmanager
def only_these_variables(names: Sequence[str]) -> Iterator[None]:
    """Hide all variables from sbatch but the allowed ones (``SBATCH_…`` would beat the script)."""
    before = dict(os.environ)
    allowed = {name: before[name] for name in (*BASE_ENVIRONMENT, *names) if name in before}
    try:
        os.environ.clear()
        os.environ.update(allowed)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def setup_lines(site: Site) -> list[str]:
    """Return the lines of the batch script before the driver, every word of them quoted."""
    lines = [f". {shlex.quote(script)}" for script in site.scripts]
    lines += [f"module load {shlex.quote(module)}" for module in site.modules]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in site.environment.items()]
    # The script has to outlive the signals that tell the driver and the ranks to save their work.
    return [*lines, "trap : TERM USR1 USR2"]


def check_commands() -> None:
    """Raise :class:`EnvironmentLacks` naming the Slurm commands that are not here."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        raise EnvironmentLacks(
            f"{', '.join(absent)}: not found; submit from a login node of the cluster, or choose "
            "--site local"
        )


def check_path(path: Path) -> None:
    """Refuse a folder that a batch script cannot name."""
    if "%" in str(path) or not str(path).isprintable():
        raise InputError(
            f"--out: {str(path)!r}: Slurm's file names take no % and no line breaks; choose "
            "another folder"
        )
