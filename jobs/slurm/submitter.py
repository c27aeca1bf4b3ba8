"""Hand a study to Slurm through submitit: job arrays of drivers, the datasets' jobs before them.

A job is one Python process on the first node of its allocation (:mod:`jobs.slurm.driver`), which
starts the ranks with the site's launcher. How it gets into the queue is the matter of
:mod:`jobs.slurm.batch`.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcbench.errors import InputError, PartlyDone
from hpcbench.run.point import Point
from hpcbench.run.timing import now
from jobs.records.dataset_mark import DatasetMark, mark_file, read_mark
from jobs.records.job_file import JobFile
from jobs.records.study_folder import StudyFolder
from jobs.records.submissions import Submission, record_submissions
from jobs.running.dataset import is_generated
from jobs.site.placement import Placement, place_ranks
from jobs.site.profile import Site
from jobs.slurm import driver, queue
from jobs.slurm.batch import Batch, check_commands, check_path


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
        self.record = study.record()
        self.resources = self.record.resources
        self.largest = site.max_array_size or queue.max_array_size()

    def submit(self, points: Sequence[Point]) -> int:
        """Submit points and the datasets they lack; return the number of jobs.

        Raises
        ------
        PartlyDone
            The scheduler refused a job after others were accepted; those are recorded.
        """
        dependencies = {
            key: self._dataset_job(key) for key in dict.fromkeys(point.dataset for point in points)
        }
        submitted = sum(1 for job in dependencies.values() if job)
        for (key, placement), groups in self._buckets(points).items():
            for chunk in _chunks(groups, self.largest):
                submitted += self._array(chunk, key, placement, dependencies[key], submitted)
        return submitted

    def _buckets(self, points: Sequence[Point]) -> dict[tuple[str, Placement], list[list[Point]]]:
        """Return groups of points by what their jobs share: dataset, nodes and time."""
        buckets: dict[tuple[str, Placement], list[list[Point]]] = {}
        for _, members in itertools.groupby(points, key=lambda point: point.group):
            group = list(members)
            ranks = max(point.ranks for point in group)
            minutes = self.resources.minutes * len(group)
            placement = place_ranks(self.resources, self.site, ranks, minutes)
            for dataset, same in itertools.groupby(group, key=lambda point: point.dataset):
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
            points = tuple(point.id for point in group)
            files.append(self._job_file(points[0], points, key, placement, submitted))
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
                Submission(
                    job_id=job,
                    points=tuple(point.id for point in group),
                    submitted=submitted,
                    file=str(file),
                    nodes=placement.nodes,
                )
                for job, group, file in zip(jobs, groups, files, strict=True)
            ],
        )
        return len(jobs)

    def _dataset_job(self, key: str) -> str:
        """Return the job that will have generated a dataset, empty where it is there already."""
        if is_generated(self.study, self.record.datasets[key]):
            return ""
        job = read_mark(self.study, key).job_id
        if job and job in (known := queue.look([job])) and known[job].is_live:
            return job
        ranks, minutes = self.resources.dataset_ranks, self.resources.dataset_minutes
        placement = place_ranks(replace(self.resources, gpus_per_rank=0), self.site, ranks, minutes)
        file = self._job_file(f"dataset-{key}", (), key, placement, now())
        (job,) = self._sbatch([file], placement, "")
        DatasetMark(key, "submitted", job).write(mark_file(self.study, key))
        record_submissions(self.study, [Submission(job, (), now(), str(file), dataset=key)])
        return job

    def _job_file(
        self, name: str, points: tuple[str, ...], dataset: str, placement: Placement, submitted: str
    ) -> Path:
        path = self.study.jobs / f"{name}.json"
        JobFile(
            study=str(self.study.path),
            code=self.record.code,
            site=self.site.model_dump(mode="json"),
            placement=placement,
            submitted=submitted,
            points=points,
            dataset=dataset,
        ).write(path)
        return path

    def _sbatch(self, files: Sequence[Path], placement: Placement, dependency: str) -> list[str]:
        """Submit one driver for each job file, as an array when there are several."""
        name = f"hpcbench-{self.study.path.name}"
        batch = Batch(name, self.site, placement, dependency, self.exclude)
        return batch.submit(driver.run_job, files, self.folder)


def _chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
