"""Run a point until it is done or nothing more can be done for it here."""

import threading
from collections.abc import Iterable
from pathlib import Path

from hpcbench.run.attempt import AttemptRecord, Cause
from hpcbench.run.point import Point
from jobs.records.study_folder import StudyFolder
from jobs.running.attempt import Attempt, Limit, Place, Start


def count_ended(records: Iterable[AttemptRecord], state: str, job_id: str) -> int:
    """Return how many attempts of a job ended in a state."""
    return sum(record.state == state and record.job_id == job_id for record in records)


def run_point(
    study: StudyFolder,
    point: Point,
    dataset: Path,
    place: Place,
    start: Start,
    stop: threading.Event,
    limit: Limit,
) -> AttemptRecord:
    """Attempt a point, again after a crash or a hang; return the last record.

    Attempts that failed before a requeue of the same job count as well. Where a node was lost
    nothing more can be done in this allocation.
    """
    record = study.record()
    resources, folder = record.resources, record.working_folder
    failures = count_ended(study.attempt_records(point.id), "failed", place.job_id)
    while True:
        attempt = Attempt(study, point, dataset, place, resources.hang_seconds, folder)
        ended = attempt.run(start, stop, limit)
        if ended.state != "failed" or ended.cause == Cause.WRONG_INPUT:
            return ended
        failures += 1
        if failures > resources.retries or limit.is_over() or stop.is_set():
            return ended
