"""Run a point until it is done or nothing more can be done for it here."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcbench.errors import InputError
from hpcbench.record import read_json
from jobs.attempt import Attempt, Limit, Place, Start
from jobs.study_folder import StudyFolder

TRANSIENT = ("failed", "node failure", "lost")
"""States that another attempt may change."""


def read_attempt(folder: Path) -> dict[str, Any]:
    """Return the record of an attempt, empty when it cannot be read."""
    try:
        record = read_json(folder / "attempt.json")
    except InputError:
        return {}
    return record if isinstance(record, dict) else {}


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
    """Attempt a point, again after a crash, a hang or a lost node; return the last record.

    Attempts that failed before a requeue of the same job count as well.
    """
    resources = study.description()["resources"]
    records = [read_attempt(folder) for folder in study.attempts(point["id"])]
    failures = sum(
        record.get("state") in TRANSIENT and record.get("job_id") == place.job_id
        for record in records
    )
    while True:
        attempt = Attempt(study, point, dataset, place, resources["hang_minutes"] * 60)
        record = attempt.run(start, stop, limit)
        if record["state"] not in TRANSIENT or record["reason"].startswith("wrong input"):
            return record
        failures += 1
        if failures > resources["retries"] or limit.is_near() or stop.is_set():
            return record


def made_progress(record: Mapping[str, Any]) -> bool:
    """Tell whether an attempt got further than where it began."""
    return int(record.get("last_step", 0)) > int(record.get("first_step", 0))
