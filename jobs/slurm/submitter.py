"""Hand a study to Slurm through submitit: job arrays of drivers, the datasets' jobs before them.

A job is one Python process on the first node of its allocation (:mod:`jobs.slurm.driver`), which
starts the ranks with the site's launcher. How it gets into the queue is the matter of
:mod:`jobs.slurm.batch`.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcbench.errors import InputError, PartlyDone
from hpcbench.run.record import write_json
from jobs.records.study_folder import StudyFolder, now
from jobs.records.submissions import record_submissions
from jobs.running.dataset import dataset_mark, is_generated, read_mark
from jobs.site.placement import Placement, place_ranks
from jobs.site.profile import Site
from jobs.slurm import driver, queue
from jobs.slurm.batch import Batch, check_commands, check_path

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
        check_path(self.folder)
        check_commands()
        self.description = study.description()
        self.resources = self.description["resources"]
        self.largest = site.max_array_size or queue.max_array_size()

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
        if job and job in (known := queue.look([job])) and known[job].is_live:
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
        name = f"hpcbench-{self.study.path.name}"
        batch = Batch(name, self.site, placement, dependency, self.exclude)
        return batch.submit(driver.run_job, files, self.folder)


def _chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
