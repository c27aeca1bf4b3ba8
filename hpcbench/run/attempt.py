"""``attempt.json``: one try of a study's point, written by the process that starts its ranks.

It is written at the start, as a heartbeat, and at the end, beside the ranks' own ``status.json``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from hpcbench.errors import InputError
from hpcbench.run.document import Document
from hpcbench.run.record import has_result

FILE = "attempt.json"


STATES = (
    "running",
    "done",
    "failed",
    "diverged",
    "interrupted",
    "timed out",
    "preempted",
    "out of memory",
    "node failure",
    "cancelled",
    "lost",
)
"""How an attempt can stand: running, or how it ended."""


class Cause(StrEnum):
    """Why an attempt ended as it did. Programs decide by this code, people read the reason."""

    NONE = ""
    ASKED_TO_STOP = "asked to stop"
    CODE_CHANGED = "code changed"
    CRASHED = "crashed"
    DIVERGED = "diverged"
    HUNG = "hung"
    MEMORY = "memory"
    NODE = "node"
    NOT_STARTED = "not started"
    REQUEUED = "requeued"
    TIME_LIMIT = "time limit"
    UNREADABLE = "unreadable"
    WRONG_INPUT = "wrong input"


@dataclass(frozen=True)
class AttemptRecord(Document):
    """What is known of an attempt.

    Attributes
    ----------
    point, attempt
        The point, and the name of the attempt's folder.
    state, reason, cause
        ``running``, or how it ended; why, in words and as a code.
    host, pid
        Where the process runs that starts the ranks.
    ranks, site, job_id, restart, nodes
        Ranks; the scheduler, its job, how often that was put back into the queue, and its nodes.
    continues, first_step, last_step
        The attempt whose checkpoint this one goes on from, and the steps it began and ended with.
    submitted, started, launched, updated, ended
        Times of the job and of the attempt, as :func:`hpcbench.run.timing.now` writes them.
    exit_code
        Of the launcher.
    times
        Seconds in the queue, launching, initialising and running, null where not known.
    """

    point: str
    attempt: str
    state: str = "running"
    reason: str = ""
    cause: Cause = Cause.NONE
    host: str = ""
    pid: int | None = None
    ranks: int | None = None
    site: str = ""
    job_id: str = ""
    restart: int = 0
    nodes: tuple[str, ...] = ()
    continues: str | None = None
    first_step: int = 0
    last_step: int = 0
    submitted: str = ""
    started: str = ""
    launched: str = ""
    updated: str | None = None
    ended: str | None = None
    exit_code: int | None = None
    times: Mapping[str, float | None] | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any], source: str) -> Self:
        """Return the record of an attempt.

        Records of the first release have no cause: there the reason begins with it.
        """
        if "cause" not in content and str(content.get("reason", "")).startswith("wrong input"):
            content = {**content, "cause": Cause.WRONG_INPUT}
        record = super().from_json(content, source)
        if record.state not in STATES:
            raise InputError(
                f"{source}: state: given {record.state!r:.80}; valid: {', '.join(STATES)}"
            )
        return record

    @property
    def made_progress(self) -> bool:
        """Whether the attempt got further than where it began."""
        return self.last_step > self.first_step

    def write_to(self, folder: Path) -> None:
        """Write the record into the attempt's folder."""
        self.write(folder / FILE)


def read_attempt(folder: Path) -> AttemptRecord:
    """Return the record of an attempt.

    Of one that is damaged the run's own result says whether it is done; else it has failed, and the
    reason names file and field. One that is not written yet runs.
    """
    try:
        return AttemptRecord.read(folder / FILE)
    except InputError as error:
        state, reason, cause = "running", "", Cause.NONE
        if has_result(folder):
            state = "done"
        elif (folder / FILE).exists():
            state, reason, cause = "failed", str(error), Cause.UNREADABLE
        return AttemptRecord(folder.parent.name, folder.name, state, reason, cause)
