"""The trial job of a site: ranks start, add up numbers, and compare files, code and clocks.

It goes the way of every point: sbatch, driver, the site's launcher, ranks. The driver and the ranks
leave what they saw in the trial's folder, and the login node judges it.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hpcbench.errors import HpcbenchError
from hpcbench.run.document import Document
from hpcbench.run.files import read_json
from hpcbench.run.source_version import source_version
from jobs.doctor.finding import Finding
from jobs.records.job_file import checked_site
from jobs.running.attempt import Start
from jobs.site.placement import Placement

CLOCK_SECONDS = 1.0
"""Difference of two clocks from which on times of records cannot be compared."""

RANK_SECONDS = 300.0
"""Time the ranks get to start, import what they need and answer."""

DRIVER_FILE, RANKS_FILE = "driver.json", "ranks.json"


@dataclass(frozen=True)
class TrialJob(Document):
    """What a trial is to try: profile, placement, the login node's word, and its clock."""

    site: Mapping[str, Any]
    placement: Placement
    token: str
    submitted: float


@dataclass(frozen=True)
class DriverAnswer(Document):
    """What the process that starts the ranks saw: times, host, sources, variables, a failure."""

    began: float
    ended: float
    host: str
    code: str
    variables: Mapping[str, str | None]
    given: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class RankAnswer(Document):
    """What a rank saw: host, two sums, the login node's word, sources, GPUs, clock."""

    host: str
    mpi: int
    horovod: float
    token: str | None
    code: str
    gpus: int
    time: float


def run_trial(file: str) -> None:
    """Start the ranks of a trial inside its job (what sbatch runs)."""
    from jobs.slurm.driver import start_ranks

    job = TrialJob.read(Path(file))
    start = partial(start_ranks, site=checked_site(job.site), placement=job.placement)
    start_trial(Path(file).parent, job, start)


def start_trial(folder: Path, job: TrialJob, start: Start) -> None:
    """Start the ranks of a trial and write what this process saw to ``driver.json``."""
    began, problem = time.time(), ""
    variables = {name: os.environ.get(name) for name in job.site["environment"]}
    argv = [sys.executable, "-P", "-m", "jobs.doctor.trial", str(folder)]
    try:
        start(job.placement.ranks, argv, log=folder / "ranks.log", timeout=RANK_SECONDS)
    except HpcbenchError as error:
        problem = str(error)
    DriverAnswer(
        began=began,
        ended=time.time(),
        host=platform.node(),
        code=source_version(),
        variables=variables,
        given=tuple(sorted(os.environ)),
        problem=problem,
    ).write(folder / DRIVER_FILE)


def judge_trial(folder: Path, job: TrialJob) -> list[Finding]:
    """Return the findings of a trial that has ended; ``driver.json`` is there."""
    driver, launcher = DriverAnswer.read(folder / DRIVER_FILE), job.site["launcher"]
    apart = max(0.0, job.submitted - driver.began, driver.ended - time.time())
    findings = [_variables(driver, job.site), _clock("login_node_and_job", apart)]
    if driver.problem:
        hint = f'see {folder / "ranks.log"}; is launcher = "{launcher}" right, and its MPI?'
        findings.append(_code([driver]))
        return [*findings, Finding("ranks", driver.problem, "", "fail", hint)]
    try:
        seen = [RankAnswer.from_json(rank, RANKS_FILE) for rank in read_json(folder / RANKS_FILE)]
    except HpcbenchError as error:
        hint = "the ranks ran apart from this folder; put --out on a file system that all nodes see"
        return [*findings, Finding("shared_files", str(error), "", "fail", hint)]
    findings += [_code([driver, *seen]), *_of_ranks(seen, job.placement)]
    return [*findings, _files(seen, job.token), _clock("nodes", _spread(seen))]


def _of_ranks(seen: Sequence[RankAnswer], placed: Placement) -> list[Finding]:
    """Judge what the ranks say of themselves, their sums and their GPUs."""
    ranks, hosts = placed.ranks, sorted({rank.host for rank in seen})
    count = Finding("ranks", len(seen), f"ranks on {', '.join(hosts)}", "pass")
    if len(seen) != ranks or len(hosts) != placed.nodes:
        hint = (
            f"expected {ranks} ranks on {placed.nodes} nodes; launcher and MPI library do not "
            "belong together, or ranks_per_node is not what the partition allows"
        )
        count = Finding("ranks", len(seen), f"ranks on {', '.join(hosts)}", "fail", hint)
    findings = [count]
    for name, expected in (("mpi", ranks), ("horovod", ranks * (ranks - 1) / 2)):
        wrong = sorted({getattr(rank, name) for rank in seen} - {expected})
        if wrong:
            hint = f"expected {expected:g} on every rank; on a compute node: make setup"
            findings.append(Finding(f"allreduce_{name}", str(wrong), "", "fail", hint))
        else:
            findings.append(Finding(f"allreduce_{name}", expected, "on every rank", "pass"))
    if placed.gpus_per_rank:
        least = min(rank.gpus for rank in seen)
        if least < placed.gpus_per_rank:
            hint = "check gpus_per_node, the driver on the nodes, and that torch has CUDA"
            findings.append(Finding("gpus", least, "for a rank", "fail", hint))
        else:
            findings.append(Finding("gpus", least, "for a rank", "pass"))
    return findings


def _files(seen: Sequence[RankAnswer], token: str) -> Finding:
    """Judge whether all ranks read the login node's file."""
    blind = sorted({rank.host for rank in seen if rank.token != token})
    if not blind:
        return Finding("shared_files", "every rank read the login node's file", "", "pass")
    hint = "put --out (runs/) on a file system that all nodes see under the same path"
    return Finding("shared_files", f"not seen on {', '.join(blind)}", "", "fail", hint)


def _code(answers: Sequence[DriverAnswer | RankAnswer]) -> Finding:
    """Judge whether all nodes have the login node's sources."""
    here = source_version()
    others = sorted({answer.host for answer in answers if answer.code != here})
    if not others:
        return Finding("code_version", here, "", "pass")
    hint = "these nodes see another checkout; use one on a file system that all nodes see"
    return Finding("code_version", f"differs on {', '.join(others)}", "", "fail", hint)


def _variables(driver: DriverAnswer, site: Mapping[str, Any]) -> Finding:
    wrong = [n for n, value in driver.variables.items() if value != site["environment"][n]]
    if wrong:
        hint = "a module or script of the profile sets it again after [environment]"
        return Finding("job_environment", f"changed: {', '.join(wrong)}", "", "warn", hint)
    return Finding("job_environment", len(driver.given), "variables in the job", "pass")


def _clock(who: str, seconds: float) -> Finding:
    if seconds <= CLOCK_SECONDS:
        return Finding(f"clocks_of_{who}", round(seconds, 3), "s apart", "pass")
    hint = "recorded times cannot be compared; ask the site to keep its clocks together (NTP)"
    return Finding(f"clocks_of_{who}", round(seconds, 3), "s apart", "warn", hint)


def _spread(seen: Sequence[RankAnswer]) -> float:
    """Return how far apart the ranks' clocks were just after a barrier."""
    times = [rank.time for rank in seen]
    return max(times) - min(times)


def main() -> None:
    """Be one rank: two sums over all ranks, and a look at the folder, the sources and the GPUs."""
    folder = Path(sys.argv[1])
    import torch
    from mpi4py import MPI

    from hpcbench.parallel.communicator import communicator

    world = MPI.COMM_WORLD
    ranks = communicator("horovod")
    value = torch.tensor([float(ranks.rank)])
    ranks.average([value])
    token = folder / "token"
    seen = {
        "host": platform.node(),
        "mpi": world.allreduce(1),
        "horovod": round(float(value) * ranks.size, 3),
        "token": token.read_text() if token.is_file() else None,
        "code": source_version(),
        "gpus": torch.cuda.device_count(),
    }
    world.Barrier()
    everyone = world.gather({**seen, "time": time.time()})
    if world.rank == 0:
        (folder / RANKS_FILE).write_text(json.dumps(everyone))
    ranks.close()


if __name__ == "__main__":
    main()
