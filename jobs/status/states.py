"""The state of every point, from its records first and the scheduler's hints second."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from jobs.records.study_folder import StudyFolder, now, seconds_between
from jobs.running.attempt import read_status
from jobs.running.point import read_attempt
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

STALE_SECONDS = 60.0
"""Age of a heartbeat from which on it is no sign of life."""

UNSEEN_SECONDS = 120.0
"""Time a submitted job may take to become visible to the scheduler's commands."""


@dataclass(frozen=True)
class PointState:
    """What is known of a point.

    Attributes
    ----------
    state, reason
        One of :data:`STATES`, and why.
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
    attempt: Path | None = None
    record: Mapping[str, Any] | None = None
    step: int | None = None
    num_steps: int | None = None
    job_id: str = ""


def point_states(
    study: StudyFolder,
    points: Sequence[Mapping[str, Any]],
    submissions: Mapping[str, Mapping[str, Any]],
    jobs: Mapping[str, Job],
) -> list[PointState]:
    """Return the state of each point.

    Parameters
    ----------
    submissions
        Point → its latest submission (``job_id``, ``submitted``).
    jobs
        Job → what the scheduler says.
    """
    return [
        _point_state(study, point["id"], submissions.get(point["id"], {}), jobs) for point in points
    ]


def _point_state(
    study: StudyFolder, identifier: str, submission: Mapping[str, Any], jobs: Mapping[str, Job]
) -> PointState:
    folders = study.attempts(identifier)
    job_id = str(submission.get("job_id", ""))
    job = jobs.get(job_id)
    for folder in reversed(folders):
        record = read_attempt(folder)
        if record.get("state") == "done":
            return _with(identifier, "done", "", False, folder, record)
    if not folders:
        state, reason = _before_the_first_attempt(submission, job)
        return PointState(
            identifier,
            state,
            reason,
            state in ("pending", "running") and reason != "not submitted",
            job_id=job_id,
        )
    folder = folders[-1]
    record = read_attempt(folder)
    newer = job_id and record.get("job_id") != job_id
    if newer and str(submission.get("submitted", "")) > str(record.get("updated", "")):
        # A job submitted after that attempt counts for more than the attempt.
        state, reason = _before_the_first_attempt(submission, job)
    else:
        state, reason = _of_attempt(record, None if newer else job)
    live = state in ("pending", "running")
    return _with(identifier, state, reason, live, folder, record, job_id)


def _of_attempt(record: Mapping[str, Any], job: Job | None) -> tuple[str, str]:
    """Return the state that the newest attempt and its job stand for."""
    state, reason = str(record.get("state", "running")), str(record.get("reason", ""))
    if job is not None and job.state == "PENDING":
        return "pending", f"queued again ({job.reason}) after: {_ended_as(state, job)}"
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


def _before_the_first_attempt(submission: Mapping[str, Any], job: Job | None) -> tuple[str, str]:
    if not submission:
        return "pending", "not submitted"
    if job is None:
        age = seconds_between(submission.get("submitted"), now()) or 0.0
        if age < UNSEEN_SECONDS:
            return "pending", "submitted, not visible yet"
        return "lost", f"job {submission.get('job_id')} is unknown to the scheduler"
    if job.state == "PENDING":
        if job.reason == "DependencyNeverSatisfied":
            return "failed", "its dataset could not be generated"
        return "pending", job.reason
    if job.is_live:
        return "running", "starting"
    return ENDED.get(job.state, "lost"), f"the job ended as {job.reason} before the point began"


def _ended_as(state: str, job: Job) -> str:
    return "preempted or requeued" if state in ("running", "interrupted") else state


def _age(record: Mapping[str, Any]) -> float:
    return seconds_between(record.get("updated"), now()) or 0.0


def _is_gone(record: Mapping[str, Any]) -> bool:
    """Tell whether the process that wrote a heartbeat is no more."""
    if record.get("host") == socket.gethostname() and isinstance(record.get("pid"), int):
        return not psutil.pid_exists(record["pid"]) or _age(record) > STALE_SECONDS
    return _age(record) > STALE_SECONDS


def _with(
    identifier: str,
    state: str,
    reason: str,
    live: bool,
    folder: Path,
    record: Mapping[str, Any],
    job_id: str = "",
) -> PointState:
    status = {} if state == "done" else read_status(folder)
    return PointState(
        identifier,
        state,
        reason,
        live,
        folder,
        record,
        status.get("step"),
        status.get("num_steps"),
        job_id or str(record.get("job_id", "")),
    )


def bad_nodes(study: StudyFolder, points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return nodes where two points failed, or that were lost, and where no point succeeded."""
    failed: dict[str, set[str]] = {}
    lost: set[str] = set()
    fine: set[str] = set()
    for point in points:
        for folder in study.attempts(point["id"]):
            record = read_attempt(folder)
            nodes = record.get("nodes", [])
            if record.get("state") == "done":
                fine.update(nodes)
            elif record.get("state") == "failed" and "wrong input" not in record.get("reason", ""):
                for node in nodes:
                    failed.setdefault(node, set()).add(point["id"])
            elif record.get("state") == "node failure" and len(nodes) == 1:
                lost.update(nodes)
    suspect = {node for node, ids in failed.items() if len(ids) > 1} | lost
    return sorted(suspect - fine)
