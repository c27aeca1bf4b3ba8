"""What a Slurm job runs: one driver that works through a job file of the submitter.

The driver starts the ranks with the site's launcher, keeps their heartbeat, and decides what
follows: done, another attempt here, or another job. It imports neither torch nor MPI nor pydantic:
every point waits for it.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import submitit

from hpcbench.errors import HpcbenchError, PartlyDone
from hpcbench.run.attempt import AttemptRecord, Cause, read_attempt
from hpcbench.run.source_version import source_version
from hpcbench.run.timing import now
from jobs.launch import launch
from jobs.launch.child import KILL_SECONDS
from jobs.launch.command import ranks_command
from jobs.records.job_file import JobFile, checked_site
from jobs.records.study import PlannedResources
from jobs.records.study_folder import StudyFolder
from jobs.running.attempt import Limit, Place
from jobs.running.dataset import generate_dataset
from jobs.running.point import count_ended, run_point
from jobs.site.placement import Placement
from jobs.slurm import queue

if TYPE_CHECKING:
    from jobs.site.profile import Site

LEAST_SECONDS = 20.0
"""Time a point must have left to be started at all."""

ACCOUNTING_SECONDS = 15.0
"""Time the accounting gets to tell how an earlier run of this job ended."""

LAST_SECONDS = 5.0
"""Part of the lead time that is left to the driver after the ranks are killed."""


def run_job(file: str) -> None:
    """Work through a job file; raise when a point of it is not done, for the scheduler to see."""
    started = now()
    begin = time.monotonic()
    stop = threading.Event()
    _listen(stop)
    job = JobFile.read(Path(file))
    study, site = StudyFolder(Path(job.study)), checked_site(job.site)
    restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    environment = submitit.JobEnvironment()
    place = Place(
        "slurm",
        job_id=environment.job_id,
        nodes=tuple(environment.hostnames),
        restart=restart,
        submitted=job.submitted,
        started=started,
    )
    start = partial(start_ranks, site=site, placement=job.placement)
    if restart:
        _settle_earlier_runs(study, job.points, place)
    if source_version() != job.code:
        raise HpcbenchError(_refuse(study, job, place))
    seconds = job.placement.minutes * 60 - site.signal_seconds
    limit = Limit(begin + seconds, stops_ranks=False)
    # Signals are handled in the main thread only while it waits here.
    failures: list[BaseException] = []
    work = threading.Thread(
        target=_collecting(failures, _work), args=(study, job, place, start, stop, limit)
    )
    work.start()
    while work.is_alive():
        work.join(0.2)
    if failures:
        raise failures[0]


def start_ranks(
    ranks: int,
    argv: Sequence[str],
    *,
    site: "Site",
    placement: Placement,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> launch.Result:
    """Run a command on ranks of this allocation with the site's launcher (see launch.run)."""
    threads = {"OMP_NUM_THREADS": str(placement.cores_per_rank)}
    grace = site.signal_seconds - LAST_SECONDS - KILL_SECONDS
    variables = launch.rank_environment(1) | threads | site.environment | dict(environment or {})
    if site.launcher == "mpirun":
        return launch.run(ranks, argv, environment=variables, grace=grace, **options)
    command = ranks_command(site, placement, ranks, argv)
    return launch.run(None, command, environment=variables, grace=grace, **options)


def _work(
    study: StudyFolder,
    job: JobFile,
    place: Place,
    start: Any,
    stop: threading.Event,
    limit: Limit,
) -> None:
    if not job.points:
        generate_dataset(study, job.dataset, start, place.job_id)
        return
    plan = study.record()
    points = {point.id: point for point in plan.points}
    dataset = plan.datasets[job.dataset].file(study.runs)
    open_points = [point for point in job.points if not study.is_done(point)]
    ended: list[str] = []
    again = False
    for identifier in open_points:
        if stop.is_set() or time.monotonic() > limit.end - LEAST_SECONDS:
            ended.append(f"{identifier}: not started")
            again = again or not stop.is_set()
            continue
        record = run_point(study, points[identifier], dataset, place, start, stop, limit)
        if record.state != "done":
            ended.append(f"{identifier}: {record.state}: {record.reason}")
        again = again or _goes_on(study, record, plan.resources)
    if again and not stop.is_set():
        _requeue(place.job_id)
        stop.wait(60)  # the scheduler ends this job now
    if ended:
        raise PartlyDone("\n".join(ended))


def _listen(stop: threading.Event) -> None:
    """Note that the job is being ended; the ranks get the signals from Slurm themselves."""

    def remember(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, remember)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: None)


def _collecting(failures: list[BaseException], function: Any) -> Any:
    """Return a function that keeps what another one raises."""

    def run(*arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException as error:
            failures.append(error)

    return run


def _goes_on(study: StudyFolder, record: AttemptRecord, resources: PlannedResources) -> bool:
    """Tell whether another run of this job would bring a point further."""
    if record.state == "timed out":
        return resources.split and record.made_progress
    if record.state == "node failure":
        records = study.attempt_records(record.point)
        return count_ended(records, "node failure", record.job_id) <= resources.retries
    return False


def _requeue(job_id: str) -> None:
    """Put this very job back into the queue; the number of an array alone would mean all of it."""
    subprocess.run(["scontrol", "requeue", job_id], check=False, timeout=60)


def _settle_earlier_runs(study: StudyFolder, points: Sequence[str], place: Place) -> None:
    """Write down how this job's earlier runs ended, which only the scheduler can tell."""
    state = _last_ending(place.job_id)
    for identifier in points:
        for folder in study.attempts(identifier)[-1:]:
            record = read_attempt(folder)
            # What seemed to be a crash may have been the node.
            unsettled = ("running", "interrupted", *(["failed"] if state == "node failure" else []))
            if record.job_id == place.job_id and record.state in unsettled:
                reason = f"the job was put back into the queue after: {state}"
                settled = replace(
                    record, state=state, reason=reason, cause=Cause.REQUEUED, ended=record.updated
                )
                settled.write_to(folder)


def _last_ending(job_id: str) -> str:
    """Return how the run of a job before this one ended; the accounting may be late."""
    deadline = time.monotonic() + ACCOUNTING_SECONDS
    while True:
        endings = [run.state for run in queue.history(job_id) if run.state in queue.ENDINGS]
        if endings:
            return queue.ENDINGS[endings[-1]]
        if time.monotonic() > deadline:
            return "lost"
        time.sleep(1)


def _refuse(study: StudyFolder, job: JobFile, place: Place) -> str:
    """Record for every point that the code is not the one that was submitted."""
    reason = (
        "the code changed since this job was submitted; submit the study again, which gives its "
        "points new names"
    )
    for identifier in [point for point in job.points if not study.is_done(point)]:
        folder = study.new_attempt(identifier)
        AttemptRecord(
            point=identifier,
            attempt=folder.name,
            state="failed",
            reason=reason,
            cause=Cause.CODE_CHANGED,
            site=place.site,
            job_id=place.job_id,
            nodes=place.nodes,
            submitted=place.submitted,
            started=place.started,
            updated=now(),
            ended=now(),
        ).write_to(folder)
    return reason
