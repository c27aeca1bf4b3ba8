"""One attempt at a point: start its ranks, watch them, and say how and why it ended."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpcbench.errors import HpcbenchError, InputError
from hpcbench.parallel.watchdog import VARIABLE as HANG_VARIABLE
from hpcbench.run.attempt import AttemptRecord, Cause
from hpcbench.run.files import read_json
from hpcbench.run.point import Point
from hpcbench.run.record import has_result
from hpcbench.run.status import read_status
from hpcbench.run.timing import now, seconds_between
from jobs.launch.command import train_argv
from jobs.launch.launch import Result
from jobs.launch.memory import out_of_memory_kills
from jobs.records.study_folder import StudyFolder, carry_over

HEARTBEAT_SECONDS = 5.0
POLL_SECONDS = 0.25

OUT_OF_MEMORY = re.compile(
    r"oom[-_ ]?kill|out of memory|MemoryError|std::bad_alloc|cannot allocate memory", re.IGNORECASE
)
NODE_FAILURE = re.compile(
    r"node failure|node_fail|no route to host|unable to create step"
    r"|timed out waiting for job step to complete",
    re.IGNORECASE,
)

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit codes of what was killed, as a parent and as a launcher report them."""

LAST_LINES = 12
"""Lines of a log that a reason shows."""

Start = Callable[..., Result]
"""``start(ranks, argv, log=…, environment=…, stop=…)``: run a command on ranks and wait."""


@dataclass(frozen=True)
class Place:
    """Where an attempt runs: job and nodes, and when that was asked for."""

    site: str
    job_id: str = ""
    nodes: tuple[str, ...] = ()
    restart: int = 0
    submitted: str = ""
    started: str = ""


@dataclass(frozen=True)
class Limit:
    """When an attempt has to stop.

    Attributes
    ----------
    end
        On the clock of ``time.monotonic``: when ranks that still run are told to save their work.
    stops_ranks
        Whether a request to stop has to be passed on to the ranks; a scheduler tells them itself.
    """

    end: float
    stops_ranks: bool = True

    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self.end


class Attempt:
    """One attempt at a point.

    Parameters
    ----------
    study
        The study's folder.
    point
        The point.
    dataset
        Its dataset.
    place
        Where it runs.
    hang_seconds
        Longest time between two finished steps.
    folder
        Where its ranks start; by default the current folder.
    """

    def __init__(
        self,
        study: StudyFolder,
        point: Point,
        dataset: Path,
        place: Place,
        hang_seconds: float,
        folder: Path | None = None,
    ) -> None:
        self.study, self.point, self.dataset = study, point, dataset
        self.working_folder = folder
        self.hang_seconds = hang_seconds
        previous = study.attempts(point.id)
        self.folder = study.new_attempt(point.id)
        self.continues = previous[-1] if previous else None
        if self.continues is not None:
            status = read_status(self.continues)
            # What diverged once would diverge again from the same checkpoint.
            diverged = status is not None and status.state == "diverged"
            if diverged or not carry_over(self.continues, self.folder):
                self.continues = None
        self.hung = False
        self.record = AttemptRecord(
            point=point.id,
            attempt=self.folder.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            ranks=point.ranks,
            site=place.site,
            job_id=place.job_id,
            restart=place.restart,
            nodes=place.nodes,
            continues=self.continues.name if self.continues else None,
            first_step=last_step(self.folder),
            submitted=place.submitted,
            started=place.started,
            launched=now(),
            updated=now(),
        )
        self.record.write_to(self.folder)

    def run(self, start: Start, stop: threading.Event, limit: Limit) -> AttemptRecord:
        """Run to the end, the time limit, or until ``stop`` is set; return the record."""
        config = self.study.config(self.point.id)
        argv = train_argv(config, self.dataset, self.folder, self.continues is not None)
        ended, halt = threading.Event(), threading.Event()
        kills = out_of_memory_kills()
        watcher = threading.Thread(target=self._watch, args=(ended, stop, halt, limit), daemon=True)
        watcher.start()
        try:
            result = start(
                self.point.ranks,
                argv,
                log=self.folder / "log.txt",
                environment={HANG_VARIABLE: str(self.hang_seconds)},
                folder=self.working_folder,
                stop=halt,
                check=False,
                quiet=True,
            )
            killed = result.exit_code in KILLED and out_of_memory_kills() > kills
            state, reason, cause = self._judge(result, stop, limit, killed)
            self.record = replace(self.record, exit_code=result.exit_code)
        except HpcbenchError as error:
            state, reason, cause = "failed", str(error), Cause.NOT_STARTED
        finally:
            ended.set()
            watcher.join()
        self.finish(state, reason, cause)
        return self.record

    def finish(self, state: str, reason: str, cause: Cause) -> None:
        """Write how the attempt ended."""
        ended = now()
        self.record = replace(
            self.record,
            state=state,
            reason=reason,
            cause=cause,
            ended=ended,
            updated=ended,
            last_step=last_step(self.folder),
            times=self._times(ended),
        )
        self.record.write_to(self.folder)

    def _judge(
        self, result: Result, stop: threading.Event, limit: Limit, killed_for_memory: bool
    ) -> tuple[str, str, Cause]:
        """Return the state an ended command leaves, the reason, and its code."""
        status = read_status(self.folder)
        said, said_reason = (status.state, status.reason) if status else ("", "")
        if has_result(self.folder):  # a signal may still have met its last moments
            return "done", "", Cause.NONE
        stacks = sorted(path for path in self.folder.glob("stacks.*.txt") if path.stat().st_size)
        if said == "diverged":
            return "diverged", said_reason, Cause.DIVERGED
        if stacks or self.hung:
            names = ", ".join(path.name for path in stacks) or "none were written"
            reason = f"hung: no step was finished for {self.hang_seconds:g} s; stacks: {names}"
            return "failed", reason, Cause.HUNG
        step = status.step if status else 0
        if stop.is_set():
            return "interrupted", f"asked to stop at step {step}", Cause.ASKED_TO_STOP
        if limit.is_over():
            return "timed out", f"the time limit was reached at step {step}", Cause.TIME_LIMIT
        tail = _what_was_said(result.tail)
        if NODE_FAILURE.search(result.tail):
            return "node failure", tail, Cause.NODE
        if killed_for_memory:
            reason = f"the kernel killed a rank at step {step} for want of memory"
            return "out of memory", reason, Cause.MEMORY
        if OUT_OF_MEMORY.search(result.tail):
            return "out of memory", tail, Cause.MEMORY
        if result.exit_code == InputError.exit_code:
            return "failed", f"wrong input: {tail}", Cause.WRONG_INPUT
        if said == "interrupted":
            return "interrupted", said_reason, Cause.ASKED_TO_STOP
        what = f"exit code {result.exit_code}"
        if result.exit_code == 0:
            what = "ended without a result"
        return "failed", f"{what}: {tail}", Cause.CRASHED

    def _watch(
        self, ended: threading.Event, stop: threading.Event, halt: threading.Event, limit: Limit
    ) -> None:
        """Keep the heartbeat; stop the ranks on request, at the limit, and when they hang."""
        step, since = -1, time.monotonic()
        beat = since
        while not ended.wait(POLL_SECONDS):
            if time.monotonic() - beat > HEARTBEAT_SECONDS:
                beat = time.monotonic()
                self.record = replace(self.record, updated=now())
                self.record.write_to(self.folder)
            status = read_status(self.folder)
            if status is None or status.step != step or not status.is_training:
                step, since = status.step if status else -1, time.monotonic()
            # Twice: the ranks' own watchdogs come first, as they leave their stacks behind.
            elif time.monotonic() - since > 2 * self.hang_seconds:
                self.hung = True
            if self.hung or limit.is_over() or (stop.is_set() and limit.stops_ranks):
                halt.set()

    def _times(self, ended: str) -> dict[str, float | None]:
        """Return the seconds spent in the queue, launching, initialising and running."""
        times: Any = {}
        with suppress(InputError):
            times = read_json(self.folder / "provenance.json").get("times", {})
        launched = _epoch(self.record.launched)
        started, ready = times.get("started"), times.get("ready")
        return {
            "queue": seconds_between(self.record.submitted, self.record.started),
            # A process's start is known to a hundredth of a second only.
            "launch": None if started is None else max(0.0, started - launched),
            "init": None if ready is None else ready - started,
            "run": None if ready is None else _epoch(ended) - ready,
        }


def last_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, 0 without one."""
    steps = [int(p.name) for p in (folder / "checkpoint").glob("[0-9]*") if p.name.isdigit()]
    return max(steps, default=0)


def _what_was_said(tail: str) -> str:
    """Return the program's own message from the end of a log, else the last lines."""
    lines = tail.splitlines()
    own = [number for number, line in enumerate(lines) if line.startswith("hpcbench: ")]
    return "\n".join(lines[own[-1] :] if own else lines[-LAST_LINES:])


def _epoch(time_text: str) -> float:
    return seconds_between("1970-01-01T00:00:00+00:00", time_text) or 0.0
