"""What was handed to a scheduler, one line for each job, appended as it happens."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcbench.errors import InputError
from hpcbench.run.document import Document
from jobs.records.study_folder import StudyFolder


@dataclass(frozen=True)
class Submission(Document):
    """What the scheduler got.

    Attributes
    ----------
    job_id, submitted
        Its number, array tasks as ``ID_INDEX``, and when it was handed over.
    points, dataset
        The points it runs, or the dataset it generates.
    file, nodes
        Its job file, and the nodes it asked for.
    """

    job_id: str
    points: tuple[str, ...]
    submitted: str
    file: str
    dataset: str | None = None
    nodes: int | None = None


def record_submissions(study: StudyFolder, entries: Iterable[Submission]) -> None:
    """Append submissions in one write."""
    text = "".join(json.dumps(entry.as_json()) + "\n" for entry in entries)
    with _file(study).open("a") as file:
        file.write(text)
        file.flush()


def read_submissions(study: StudyFolder) -> list[Submission]:
    """Return all submissions, oldest first; a line cut off by a crash is left out."""
    path = _file(study)
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(Submission.from_json(json.loads(line), f"{path}: line {number}"))
        except (ValueError, TypeError, InputError):
            continue
    return entries


def latest_by_point(entries: Sequence[Submission]) -> dict[str, Submission]:
    """Return the latest submission of each point."""
    return {point: entry for entry in entries for point in entry.points}


def _file(study: StudyFolder) -> Path:
    return study.jobs / "submissions.jsonl"
