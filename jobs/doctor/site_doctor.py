"""``hpcbench doctor --site NAME``: check a profile from the login node, then by a trial job."""

import secrets
import shutil
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from hpcbench.console import message
from hpcbench.errors import InputError
from jobs.doctor.finding import Finding
from jobs.doctor.site_check import check_site
from jobs.doctor.trial import DRIVER_FILE, TrialJob, judge_trial, run_trial, start_trial
from jobs.launch import launch
from jobs.records.study import PlannedResources
from jobs.site.placement import Placement, place_ranks
from jobs.site.profile import Site
from jobs.slurm import queue

POLL_SECONDS = 2.0
TRIAL_MINUTES = 6
TRIAL_NODES = 2
LOST_SECONDS = 60.0
"""Time after a job's end in which its answer may become visible on a shared file system."""


def examine_site(
    name: str, site: Site, runs: Path, with_job: bool, wait_minutes: float
) -> list[Finding]:
    """Return all findings of a site.

    Parameters
    ----------
    runs
        Where studies go: the trial's files are kept below it while it runs.
    with_job, wait_minutes
        Whether to run the tiny job, and how long it may wait in the queue.
    """
    title = f"{name}: {site.scheduler}, {site.launcher}"
    findings = [Finding("profile", title, "", "pass", site.description), *check_site(site)]
    if not with_job or any(finding.status == "fail" for finding in findings):
        reason = "--no-job" if not with_job else "not started: first mend what failed"
        return [*findings, Finding("trial_job", reason, "", "warn", "a job shows what ranks see")]
    try:
        runs.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=runs)).absolute()
    except OSError as error:
        raise InputError(f"--out: {runs}: cannot be written: {error.strerror}") from None
    findings += _trial(folder, site, wait_minutes)
    if any(finding.status == "fail" for finding in findings):
        message(f"hpcbench doctor: the trial's files are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return findings


def _trial(folder: Path, site: Site, wait_minutes: float) -> list[Finding]:
    try:
        placement = _placement(site)
    except InputError as error:
        return [Finding("placement", str(error), "", "fail", "make the profile's numbers agree")]
    token = secrets.token_hex(8)
    (folder / "token").write_text(token)
    job = TrialJob(site.model_dump(mode="json"), placement, token, submitted=time.time())
    file = folder / "trial.json"
    job.write(file)
    if site.scheduler == "local":
        start_trial(folder, job, partial(_start_here, site=site))
        return judge_trial(folder, job)
    from jobs.slurm.batch import Batch, check_path

    check_path(folder)
    try:
        batch = Batch("hpcbench-doctor", site, placement)
        (job_id,) = batch.submit(run_trial, [file], folder)
    except InputError as error:
        hint = "the scheduler refused the partition, account, qos, constraint, time or sizes"
        return [Finding("trial_job", str(error), "", "fail", hint)]
    begin = time.monotonic()
    problem = _await(job_id, folder, wait_minutes * 60)
    if problem is not None:
        return [problem]
    value = round(time.monotonic() - begin, 1)
    return [Finding("trial_job", value, f"s, job {job_id}", "pass"), *judge_trial(folder, job)]


def _placement(site: Site) -> Placement:
    """Return two full nodes, as far as the profile says; one rank for each GPU where it has any."""
    resources = PlannedResources(
        gpus_per_rank=1 if site.gpus_per_node >= site.ranks_per_node else 0
    )
    ranks = 2 if site.scheduler == "local" else TRIAL_NODES * site.ranks_per_node
    return place_ranks(resources, site, ranks, TRIAL_MINUTES)


def _start_here(ranks: int, argv: Any, *, site: Site, **options: Any) -> launch.Result:
    return launch.run(ranks, argv, environment=site.environment, quiet=True, **options)


def _await(job_id: str, folder: Path, seconds: float) -> Finding | None:
    """Wait for a trial's answer; return what went wrong, or None."""
    deadline = time.monotonic() + seconds
    gone: float | None = None
    state = "unknown"
    while not (folder / DRIVER_FILE).exists():
        known = queue.look([job_id]).get(job_id)
        if known is not None:
            state = f"{known.state} {known.reason}"
        if known is not None and not known.is_live:
            gone = gone or time.monotonic()
            if time.monotonic() - gone > (0 if known.state != "COMPLETED" else LOST_SECONDS):
                return _silent(job_id, state, folder)
        if time.monotonic() > deadline and (known is None or known.state != "RUNNING"):
            subprocess.run(["scancel", job_id], check=False, timeout=60)
            hint = "the queue is long, or no node fits the job; --wait MINUTES waits longer"
            return Finding("trial_job", f"cancelled while {state}", "", "warn", hint)
        time.sleep(POLL_SECONDS)
    return None


def _silent(job_id: str, state: str, folder: Path) -> Finding:
    """Return the finding of a job that ended without an answer."""
    logs = [path.read_text(errors="replace") for path in folder.glob(f"{job_id}_*.out")]
    tail = " / ".join("".join(logs).strip().splitlines()[-3:])
    hint = (
        f"it said: {tail}"
        if tail
        else f"it wrote nothing to {folder}: do the nodes see this path, and this Python?"
    )
    return Finding("trial_job", f"job {job_id} ended as {state}", "", "fail", hint)
