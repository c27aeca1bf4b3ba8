"""What a Slurm job runs: one driver that works through a job file (see :mod:`jobs.submission`).

The driver imports neither torch nor MPI. It starts the ranks with the site's launcher, keeps their
heartbeat, and decides what follows: done, another attempt here, or another job.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import submitit

from hpcbench.errors import HpcbenchError, PartlyDone
from hpcbench.record import read_json, write_json
from jobs import launch, slurm
from jobs.attempt import Limit, Place
from jobs.code_version import source_version
from jobs.dataset_job import dataset_file, generate_dataset
from jobs.site import Site
from jobs.study_folder import StudyFolder, now
from jobs.work import is_done, made_progress, read_attempt, run_point

LEAST_SECONDS = 20.0
"""Time a point must have left to be started at all."""

LAST_SECONDS = 10.0
"""Before the end of the allocation: when ranks that have not saved their work are stopped."""


def run_job(file: str) -> None:
    """Work through a job file; raise when a point of it is not done, for the scheduler to see."""
    started = now()
    begin = time.monotonic()
    stop = threading.Event()
    _listen(stop)
    job = read_json(Path(file))
    study = StudyFolder(Path(job["study"]))
    site = Site(**job["site"])
    restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    environment = submitit.JobEnvironment()
    place = Place(
        "slurm",
        job_id=environment.job_id,
        nodes=tuple(environment.hostnames),
        restart=restart,
        submitted=job["submitted"],
        started=started,
    )
    start = partial(start_ranks, site=site, placement=job["placement"])
    if source_version() != job["code"]:
        raise HpcbenchError(_refuse(study, job, place))
    if restart:
        _settle_earlier_runs(study, job["points"], place)
    limit = Limit(
        begin + job["placement"]["minutes"] * 60 - LAST_SECONDS,
        lead_seconds=site.signal_seconds - LAST_SECONDS + 5,
        stops_ranks=False,
    )
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
    site: Site,
    placement: Mapping[str, int],
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> launch.Result:
    """Run a command on ranks of this allocation with the site's launcher (see launch.run)."""
    threads = {"OMP_NUM_THREADS": str(placement["cores_per_rank"])}
    variables = launch.rank_environment(1) | threads | site.environment | dict(environment or {})
    if site.launcher == "mpirun":
        return launch.run(ranks, argv, environment=variables, **options)
    command = [
        "srun",
        f"--ntasks={ranks}",
        f"--nodes={min(placement['nodes'], ranks)}",
        f"--ntasks-per-node={placement['ranks_per_node']}",
        f"--cpus-per-task={placement['cores_per_rank']}",
        "--kill-on-bad-exit=1",
        # sbatch passes an allow-list on; the ranks get what this driver has.
        "--export=ALL",
        *([f"--gpu-bind={site.gpu_bind}"] if site.gpu_bind else []),
        *site.launcher_options,
        *argv,
    ]
    return launch.run(None, command, environment=variables, **options)


def _work(
    study: StudyFolder,
    job: Mapping[str, Any],
    place: Place,
    start: Any,
    stop: threading.Event,
    limit: Limit,
) -> None:
    if not job["points"]:
        generate_dataset(study, job["dataset"], start, place.job_id)
        return
    description = study.description()
    points = {point["id"]: point for point in description["points"]}
    dataset = dataset_file(study, description, job["dataset"])
    open_points = [point for point in job["points"] if not is_done(study, point)]
    ended: list[str] = []
    again = False
    for identifier in open_points:
        if stop.is_set() or time.monotonic() > limit.end - LEAST_SECONDS:
            ended.append(f"{identifier}: not started")
            again = again or not stop.is_set()
            continue
        record = run_point(study, points[identifier], dataset, place, start, stop, limit)
        if record["state"] != "done":
            ended.append(f"{identifier}: {record['state']}: {record['reason']}")
        again = again or (record["state"] == "timed out" and made_progress(record))
    if again and description["resources"]["split"] and not stop.is_set():
        _requeue()
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


def _requeue() -> None:
    """Put this very job back into the queue."""
    job = os.environ.get("SLURM_JOB_ID", "")
    subprocess.run(["scontrol", "requeue", job], check=False, timeout=60)


def _settle_earlier_runs(study: StudyFolder, points: Sequence[str], place: Place) -> None:
    """Write down how this job's earlier runs ended, which only the scheduler can tell."""
    runs = slurm.history(place.job_id)
    endings = [run.state for run in runs if run.state in slurm.STATES]
    state = slurm.STATES[endings[-1]] if endings else "lost"
    for identifier in points:
        for folder in study.attempts(identifier):
            record = read_attempt(folder)
            mine = record.get("job_id") == place.job_id
            if mine and record.get("state") in ("running", "interrupted"):
                reason = f"the job was put back into the queue after {state}"
                new = {"state": state, "reason": reason, "ended": record.get("updated")}
                write_json(folder / "attempt.json", record | new)


def _refuse(study: StudyFolder, job: Mapping[str, Any], place: Place) -> str:
    """Record for every point that the code is not the one that was submitted."""
    reason = (
        "the code changed since this job was submitted; submit the study again, which gives its "
        "points new names"
    )
    for identifier in job["points"]:
        folder = study.new_attempt(identifier)
        record = {
            "schema": 1,
            "point": identifier,
            "attempt": folder.name,
            "state": "failed",
            "reason": reason,
            "job_id": place.job_id,
            "nodes": list(place.nodes),
            "submitted": place.submitted,
            "started": place.started,
            "updated": now(),
            "ended": now(),
        }
        write_json(folder / "attempt.json", record)
    return reason
