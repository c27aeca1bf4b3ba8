"""What was handed to a scheduler, one line for each job, appended as it happens."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.records.study_folder import StudyFolder


def record_submissions(study: StudyFolder, entries: Sequence[Mapping[str, Any]]) -> None:
    """Append submissions (``job_id``, ``points``, ``submitted``, ``file``) in one write."""
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    with _file(study).open("a") as file:
        file.write(text)
        file.flush()


def read_submissions(study: StudyFolder) -> list[dict[str, Any]]:
    """Return all submissions, oldest first; a line cut off by a crash is left out."""
    try:
        lines = _file(study).read_text().splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def latest_by_point(entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the latest submission of each point."""
    return {point: entry for entry in entries for point in entry.get("points", [])}


def _file(study: StudyFolder) -> Path:
    return study.jobs / "submissions.jsonl"
