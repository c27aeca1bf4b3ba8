"""Run a point until it is done or nothing more can be done for it here."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcbench.errors import InputError
from hpcbench.run.record import read_json
from jobs.records.study_folder import StudyFolder
from jobs.running.attempt import Attempt, Limit, Place, Start


def read_attempt(folder: Path) -> dict[str, Any]:
    """Return the record of an attempt, empty when it cannot be read."""
    try:
        record = read_json(folder / "attempt.json")
    except InputError:
        return {}
    return record if isinstance(record, dict) else {}


def read_attempts(study: StudyFolder, identifier: str) -> list[dict[str, Any]]:
    """Return the records of a point's attempts, oldest first."""
    return [read_attempt(folder) for folder in study.attempts(identifier)]


def count_ended(records: Sequence[Mapping[str, Any]], state: str, job_id: str) -> int:
    """Return how many attempts of a job ended in a state."""
    return sum(r.get("state") == state and r.get("job_id") == job_id for r in records)


def is_done(study: StudyFolder, identifier: str) -> bool:
    """Tell whether a point has a result."""
    return any(read_attempt(folder).get("state") == "done" for folder in study.attempts(identifier))


def run_point(
    study: StudyFolder,
    point: Mapping[str, Any],
    dataset: Path,
    place: Place,
    start: Start,
    stop: threading.Event,
    limit: Limit,
) -> dict[str, Any]:
    """Attempt a point, again after a crash or a hang; return the last record.

    Attempts that failed before a requeue of the same job count as well. Where a node was lost
    nothing more can be done in this allocation.
    """
    resources = study.description()["resources"]
    records = read_attempts(study, point["id"])
    failures = count_ended(records, "failed", place.job_id)
    while True:
        attempt = Attempt(study, point, dataset, place, resources["hang_minutes"] * 60)
        record = attempt.run(start, stop, limit)
        if record["state"] != "failed" or record["reason"].startswith("wrong input"):
            return record
        failures += 1
        if failures > resources["retries"] or limit.is_over() or stop.is_set():
            return record


def made_progress(record: Mapping[str, Any]) -> bool:
    """Tell whether an attempt got further than where it began."""
    return int(record.get("last_step", 0)) > int(record.get("first_step", 0))
