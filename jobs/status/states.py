"""The state of every point, from its records first and the scheduler's hints second."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from hpcbench.run.attempt import AttemptRecord, Cause, read_attempt
from hpcbench.run.point import Point
from hpcbench.run.status import read_status
from hpcbench.run.timing import now, seconds_between
from jobs.records.study_folder import StudyFolder
from jobs.records.submissions import Submission
from jobs.slurm.queue import STATES as ENDED
from jobs.slurm.queue import Job

STATES = (
    "pending",
    "running",
    "done",
    "failed",
    "diverged",
    "timed out",
    "preempted",
    "out of memory",
    "node failure",
    "cancelled",
    "lost",
)

LIVE = ("pending", "running")
"""States of points that wait or run in somebody's hands, once they are submitted."""

STALE_SECONDS = 60.0
"""Age of a heartbeat from which on it is no sign of life."""

UNSEEN_SECONDS = 120.0
"""Time a submitted job may take to become visible to the scheduler's commands."""


class Code(StrEnum):
    """What programs decide by, where the state alone does not say it."""

    NONE = ""
    NOT_SUBMITTED = "not submitted"


@dataclass(frozen=True)
class PointState:
    """What is known of a point.

    Attributes
    ----------
    state, reason, code
        One of :data:`STATES`; why, in words and as a code.
    submitted
        Whether it is in the scheduler's or a runner's hands, waiting or running.
    attempt
        Folder of the attempt that tells, if any.
    record
        That attempt's ``attempt.json``.
    step, num_steps
        Progress, where known.
    job_id
        The latest job.
    """

    id: str
    state: str
    reason: str
    submitted: bool
    code: Code = Code.NONE
    attempt: Path | None = None
    record: AttemptRecord | None = None
    step: int | None = None
    num_steps: int | None = None
    job_id: str = ""


def point_states(
    study: StudyFolder,
    points: Iterable[Point],
    submissions: Mapping[str, Submission],
    jobs: Mapping[str, Job],
) -> list[PointState]:
    """Return the state of each point.

    Parameters
    ----------
    submissions
        Point → its latest submission.
    jobs
        Job → what the scheduler says.
    """
    return [_point_state(study, point.id, submissions.get(point.id), jobs) for point in points]


def _point_state(
    study: StudyFolder, identifier: str, submission: Submission | None, jobs: Mapping[str, Job]
) -> PointState:
    folders = study.attempts(identifier)
    job_id = submission.job_id if submission else ""
    job = jobs.get(job_id)
    for folder in reversed(folders):
        record = read_attempt(folder)
        if record.state == "done":
            return _with(identifier, "done", "", False, folder, record)
    if not folders:
        if submission is None:
            code = Code.NOT_SUBMITTED
            return PointState(identifier, "pending", code.value, False, code)
        state, reason = _before_the_first_attempt(submission, job)
        return PointState(identifier, state, reason, state in LIVE, job_id=job_id)
    folder = folders[-1]
    record = read_attempt(folder)
    if submission is None or record.job_id == job_id:
        state, reason = _of_attempt(record, job)
    elif submission.submitted > (record.updated or ""):
        # A job submitted after that attempt counts for more than the attempt.
        state, reason = _before_the_first_attempt(submission, job)
    else:
        state, reason = _of_attempt(record, None)
    return _with(identifier, state, reason, state in LIVE, folder, record, job_id)


def _of_attempt(record: AttemptRecord, job: Job | None) -> tuple[str, str]:
    """Return the state that the newest attempt and its job stand for."""
    state, reason = record.state, record.reason
    if job is not None and job.state == "PENDING":
        return "pending", f"queued again ({job.reason}) after: {_ended_as(state)}"
    if job is not None and job.is_live:
        if state == "running" and _age(record) > STALE_SECONDS:
            return "running", f"no heartbeat for {_age(record):.0f} s"
        if state in ("running", "timed out", "failed", "interrupted", "node failure"):
            return "running", "" if state == "running" else f"after: {state}"
        return state, reason
    if state not in ("running", "interrupted"):
        return state, reason
    if job is not None and job.state in ENDED:
        return ENDED[job.state], f"the job ended as {job.reason}" + (
            f": {reason}" if reason else ""
        )
    if state == "interrupted":
        return "cancelled", reason
    if _is_gone(record):
        return "lost", f"no heartbeat for {_age(record):.0f} s, and nothing is known of its job"
    return "running", ""


def _before_the_first_attempt(submission: Submission, job: Job | None) -> tuple[str, str]:
    if job is None:
        age = seconds_between(submission.submitted, now()) or 0.0
        if age < UNSEEN_SECONDS:
            return "pending", "submitted, not visible yet"
        return "lost", f"job {submission.job_id} is unknown to the scheduler"
    if job.state == "PENDING":
        if job.reason == "DependencyNeverSatisfied":
            return "failed", "its dataset could not be generated"
        return "pending", job.reason
    if job.is_live:
        return "running", "starting"
    return ENDED.get(job.state, "lost"), f"the job ended as {job.reason} before the point began"


def _ended_as(state: str) -> str:
    return "preempted or requeued" if state in ("running", "interrupted") else state


def _age(record: AttemptRecord) -> float:
    return seconds_between(record.updated, now()) or 0.0


def _is_gone(record: AttemptRecord) -> bool:
    """Tell whether the process that wrote a heartbeat is no more."""
    if record.host == socket.gethostname() and record.pid is not None:
        return not psutil.pid_exists(record.pid) or _age(record) > STALE_SECONDS
    return _age(record) > STALE_SECONDS


def _with(
    identifier: str,
    state: str,
    reason: str,
    live: bool,
    folder: Path,
    record: AttemptRecord,
    job_id: str = "",
) -> PointState:
    status = None if state == "done" else read_status(folder)
    return PointState(
        identifier,
        state,
        reason,
        live,
        attempt=folder,
        record=record,
        step=status.step if status else None,
        num_steps=status.num_steps if status else None,
        job_id=job_id or record.job_id,
    )


def bad_nodes(study: StudyFolder, points: Sequence[Point]) -> list[str]:
    """Return nodes where two points failed, or that were lost, and where no point succeeded."""
    failed: dict[str, set[str]] = {}
    lost: set[str] = set()
    fine: set[str] = set()
    for point in points:
        for record in study.attempt_records(point.id):
            if record.state == "done":
                fine.update(record.nodes)
            elif record.state == "failed" and record.cause != Cause.WRONG_INPUT:
                for node in record.nodes:
                    failed.setdefault(node, set()).add(point.id)
            elif record.state == "node failure" and len(record.nodes) == 1:
                lost.update(record.nodes)
    suspect = {node for node, ids in failed.items() if len(ids) > 1} | lost
    return sorted(suspect - fine)
