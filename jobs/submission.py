"""Hand a study to Slurm through submitit: job arrays of drivers, the datasets' jobs before them.

A job is one Python process on the first node of its allocation (:mod:`jobs.task`), which starts
the ranks with the site's launcher. What is submitted is an importable function and the path of a
job file, so nothing is pickled that an edit could change, and no value reaches a shell.
"""

import itertools
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import submitit

from hpcbench.errors import EnvironmentLacks, InputError, PartlyDone
from hpcbench.record import write_json
from jobs import slurm, task
from jobs.dataset_job import dataset_mark, is_generated, read_mark
from jobs.placement import Placement, place_ranks
from jobs.site import Site
from jobs.study_folder import StudyFolder, now
from jobs.submissions import record_submissions

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

Point = Mapping[str, Any]


class Submitter:
    """Submits points of one study.

    Parameters
    ----------
    study
        The study's folder, with its plan written.
    site
        The cluster's profile.
    exclude
        Nodes that no job may use.
    """

    def __init__(self, study: StudyFolder, site: Site, exclude: Sequence[str] = ()) -> None:
        self.study, self.site, self.exclude = study, site, exclude
        self.folder = study.jobs / "slurm"
        _check_path(self.folder)
        _check_commands()
        self.description = study.description()
        self.resources = self.description["resources"]
        self.largest = site.max_array_size or slurm.max_array_size()

    def submit(self, points: Sequence[Point]) -> int:
        """Submit points and the datasets they lack; return the number of jobs.

        Raises
        ------
        PartlyDone
            The scheduler refused a job after others were accepted; those are recorded.
        """
        dependencies = {
            key: self._dataset_job(key)
            for key in dict.fromkeys(point["dataset"] for point in points)
        }
        submitted = sum(1 for job in dependencies.values() if job)
        for (key, placement), groups in self._buckets(points).items():
            for chunk in _chunks(groups, self.largest):
                submitted += self._array(chunk, key, placement, dependencies[key], submitted)
        return submitted

    def _buckets(self, points: Sequence[Point]) -> dict[tuple[str, Placement], list[list[Point]]]:
        """Return groups of points by what their jobs share: dataset, nodes and time."""
        buckets: dict[tuple[str, Placement], list[list[Point]]] = {}
        for _, members in itertools.groupby(points, key=lambda point: point["group"]):
            group = list(members)
            ranks = max(point["ranks"] for point in group)
            minutes = self.resources["minutes"] * len(group)
            placement = place_ranks(self.resources, self.site, ranks, minutes)
            for dataset, same in itertools.groupby(group, key=lambda point: point["dataset"]):
                buckets.setdefault((dataset, placement), []).append(list(same))
        return buckets

    def _array(
        self,
        groups: Sequence[Sequence[Point]],
        key: str,
        placement: Placement,
        dependency: str,
        before: int,
    ) -> int:
        """Submit one job array (or single job) of point groups; return the number of jobs."""
        submitted = now()
        files = []
        for group in groups:
            name = group[0]["id"]
            content = {"points": [point["id"] for point in group], "dataset": key}
            files.append(self._job_file(name, content, placement, submitted))
        try:
            jobs = self._sbatch(files, placement, dependency)
        except InputError as error:
            if not before:
                raise
            raise PartlyDone(
                f"{error}\n{before} jobs were submitted before; `hpcbench resume "
                f"{self.study.path.name}` submits the rest"
            ) from None
        record_submissions(
            self.study,
            [
                {
                    "job_id": job,
                    "points": [point["id"] for point in group],
                    "submitted": submitted,
                    "file": str(file),
                    "nodes": placement.nodes,
                }
                for job, group, file in zip(jobs, groups, files, strict=True)
            ],
        )
        return len(jobs)

    def _dataset_job(self, key: str) -> str:
        """Return the job that will have generated a dataset, empty where it is there already."""
        if is_generated(self.study, self.description, key):
            return ""
        mark = read_mark(self.study, key)
        job = str(mark.get("job_id", ""))
        if job and job in (known := slurm.look([job])) and known[job].is_live:
            return job
        ranks, minutes = self.resources["dataset_ranks"], self.resources["dataset_minutes"]
        placement = place_ranks(self.resources | {"gpus_per_rank": 0}, self.site, ranks, minutes)
        file = self._job_file(f"dataset-{key}", {"points": [], "dataset": key}, placement, now())
        (job,) = self._sbatch([file], placement, "")
        write_json(dataset_mark(self.study, key), {"key": key, "state": "submitted", "job_id": job})
        entry = {"job_id": job, "points": [], "dataset": key, "submitted": now(), "file": str(file)}
        record_submissions(self.study, [entry])
        return job

    def _job_file(
        self, name: str, content: Mapping[str, Any], placement: Placement, submitted: str
    ) -> Path:
        path = self.study.jobs / f"{name}.json"
        common = {
            "schema": 1,
            "study": str(self.study.path),
            "code": self.description["code"],
            "site": self.site.model_dump(mode="json"),
            "placement": placement.as_dict(),
            "submitted": submitted,
        }
        write_json(path, {**common, **content})
        return path

    def _sbatch(self, files: Sequence[Path], placement: Placement, dependency: str) -> list[str]:
        """Submit one driver for each job file, as an array when there are several."""
        executor = submitit.SlurmExecutor(folder=self.folder)
        executor.update_parameters(**self._parameters(len(files), placement, dependency))
        try:
            with only_these_variables(self.site.pass_environment), executor.batch():
                jobs = [executor.submit(task.run_job, str(file)) for file in files]
        except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
            raise InputError(f"sbatch refused the job: {str(error).strip()}") from None
        return [job.job_id for job in jobs]

    def _parameters(self, count: int, placement: Placement, dependency: str) -> dict[str, Any]:
        site = self.site
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
        if dependency:
            further["kill-on-invalid-dep"] = "yes"
        parameters = {
            "job_name": f"hpcbench-{self.study.path.name}",
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
            "dependency": f"afterok:{dependency}" if dependency else None,
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


def _check_commands() -> None:
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        raise EnvironmentLacks(
            f"{', '.join(absent)}: not found; submit from a login node of the cluster, or choose "
            "--site local"
        )


def _check_path(path: Path) -> None:
    """Refuse a folder that a batch script cannot name."""
    if "%" in str(path) or not str(path).isprintable():
        raise InputError(
            f"--out: {str(path)!r}: Slurm's file names take no % and no line breaks; choose "
            "another folder"
        )


def _chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
