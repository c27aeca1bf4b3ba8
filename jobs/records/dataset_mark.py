"""``datasets/KEY.json``: how the generation of a shared dataset goes."""

from dataclasses import dataclass
from pathlib import Path

from hpcbench.errors import InputError
from hpcbench.run.document import Document
from hpcbench.run.files import read_json
from jobs.records.study_folder import StudyFolder


@dataclass(frozen=True)
class DatasetMark(Document):
    """What is known of a dataset's generation.

    Attributes
    ----------
    key
        The dataset.
    state, reason
        ``submitted``, ``running``, ``done`` or ``failed``, and why; empty where nobody began.
    job_id
        The scheduler's job.
    started, ended
        When the generation began and ended.
    """

    key: str
    state: str = ""
    job_id: str = ""
    started: str | None = None
    ended: str | None = None
    reason: str = ""


def mark_file(study: StudyFolder, key: str) -> Path:
    """Return the file that tells how a dataset's generation goes."""
    return study.runs / "datasets" / f"{key}.json"


def read_mark(study: StudyFolder, key: str) -> DatasetMark:
    """Return what is known of a dataset's generation."""
    path = mark_file(study, key)
    try:
        content = read_json(path)
        return DatasetMark.from_json(content if isinstance(content, dict) else {}, str(path))
    except InputError:
        return DatasetMark(key)
