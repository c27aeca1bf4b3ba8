"""Run a study's points on this machine: datasets first, then points, as many as cores allow."""

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from hpcbench.console import message, progress
from hpcbench.errors import HpcbenchError
from hpcbench.run.attempt import AttemptRecord
from hpcbench.run.point import Point
from hpcbench.run.timing import now
from jobs.launch import launch
from jobs.launch.child import GRACE_SECONDS
from jobs.records.study_folder import StudyFolder
from jobs.running.attempt import Limit, Place
from jobs.running.dataset import generate_dataset
from jobs.running.point import run_point
from jobs.site.profile import Site

POLL_SECONDS = 0.5


class Cores:
    """The cores that jobs on this machine share."""

    def __init__(self, cores: Sequence[int]) -> None:
        self.total = len(cores)
        self._free = list(cores)

    def take(self, count: int) -> list[int] | None:
        """Return ``count`` free cores (all of them for a bigger job), or None for now."""
        wanted = min(count, self.total)
        if len(self._free) < wanted:
            return None
        taken, self._free = self._free[:wanted], self._free[wanted:]
        return taken

    def give_back(self, cores: Sequence[int]) -> None:
        """Return cores."""
        self._free += cores


class LocalRunner:
    """Runs points of one study here.

    Parameters
    ----------
    study
        The study's folder, with its plan written.
    site
        The profile; its throttle bounds the points that run at a time.
    cores
        The cores to use; by default all this process may use.
    """

    def __init__(self, study: StudyFolder, site: Site, cores: Sequence[int] | None = None) -> None:
        self.study, self.site = study, site
        self.cores = sorted(cores or os.sched_getaffinity(0))
        self.record = study.record()
        self.resources = self.record.resources
        self.stop = threading.Event()
        self.place = Place("local", job_id=f"local-{os.getpid()}-{now()}", submitted=now())

    def run(self, points: Sequence[Point]) -> Counter[str]:
        """Run points; return how many ended in each state, those left out as ``pending``.

        Ctrl-C and ``hpcbench cancel`` let running points write a checkpoint and leave the rest.
        """
        cancel = self.study.path / "cancel"
        cancel.unlink(missing_ok=True)
        usable = self._datasets(points)
        waiting = _grouped([point for point in points if point.dataset in usable])
        counts: Counter[str] = Counter()
        running: dict[Future[list[AttemptRecord]], list[int]] = {}
        free = Cores(self.cores)
        most = self.site.throttle or free.total
        title, total = self.record.study["name"], sum(map(len, waiting))
        counts["failed"] += len(points) - total
        with progress(total, title) as advance, ThreadPoolExecutor(most) as pool:
            try:
                while running or (waiting and not self.stop.is_set()):
                    if cancel.exists():
                        self.stop.set()
                    while waiting and len(running) < most and not self.stop.is_set():
                        taken = free.take(self._num_cores(waiting[0]))
                        if taken is None:
                            break
                        running[pool.submit(self._run_group, waiting.pop(0), taken)] = taken
                    for job in wait(running, POLL_SECONDS, FIRST_COMPLETED).done:
                        free.give_back(running.pop(job))
                        for record in job.result():
                            counts[record.state] += 1
                            advance(1, f"{record.point} {record.state}")
                            if record.state not in ("done", "interrupted"):
                                message(f"{record.point}: {record.state}: {record.reason}")
            except KeyboardInterrupt:
                self.stop.set()
                raise
        counts["pending"] += len(points) - counts.total()
        return +counts

    def _datasets(self, points: Sequence[Point]) -> set[str]:
        """Generate what the points need; return the keys that can be used."""
        usable: set[str] = set()
        for key in dict.fromkeys(point.dataset for point in points):
            try:
                generate_dataset(self.study, key, partial(launch.run, cores=self.cores))
                usable.add(key)
            except HpcbenchError as error:
                message(f"dataset {key}: {error}")
        return usable

    def _num_cores(self, group: Sequence[Point]) -> int:
        return max(point.ranks for point in group) * (self.resources.cores_per_rank or 1)

    def _run_group(self, points: Sequence[Point], cores: Sequence[int]) -> list[AttemptRecord]:
        records = []
        start = partial(launch.run, cores=cores, grace=GRACE_SECONDS)
        for point in points:
            if self.stop.is_set():
                break
            records.append(self._run_point(point, start))
        return records

    def _run_point(self, point: Point, start: Any) -> AttemptRecord:
        """Run one point; work that needs longer than the limit goes on from its checkpoint."""
        dataset = self.record.datasets[point.dataset].file(self.study.runs)
        environment = dict(self.site.environment)

        def with_environment(ranks: int, argv: Any, **options: Any) -> launch.Result:
            return start(
                ranks,
                argv,
                **options | {"environment": environment | options.get("environment", {})},
            )

        while True:
            limit = Limit(time.monotonic() + self.resources.minutes * 60)
            record = run_point(
                self.study, point, dataset, self.place, with_environment, self.stop, limit
            )
            again = self.resources.split and record.made_progress
            if record.state != "timed out" or not again:
                return record


def _grouped(points: Sequence[Point]) -> list[list[Point]]:
    groups: dict[int, list[Point]] = {}
    for point in points:
        groups.setdefault(point.group, []).append(point)
    return list(groups.values())
