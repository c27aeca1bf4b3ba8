"""What Slurm says of jobs: a hint, asked for in bulk and rarely; the records are the truth.

One look is at most two commands whatever the number of jobs: ``squeue`` for the living, ``sacct``
for those the queue has forgotten. Answers are kept for a while in the study's folder.
"""

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcbench.errors import EnvironmentLacks, InputError
from hpcbench.run.files import read_json, write_json

QUERY_SECONDS = 60
"""Time a Slurm command gets to answer."""

LIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD")

STATES = {
    "TIMEOUT": "timed out",
    "DEADLINE": "timed out",
    "PREEMPTED": "preempted",
    "OUT_OF_MEMORY": "out of memory",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "COMPLETED": "lost",
}
"""State of a job that is over → state of a point it left without a result."""


ENDINGS = STATES | {"REQUEUED": "preempted"}
"""The same for an earlier run of a job that was put back into the queue by somebody else."""


@dataclass(frozen=True)
class Job:
    """One job as Slurm sees it: state, why it waits or ended, where and when it ran."""

    state: str
    reason: str = ""
    nodes: str = ""
    submit: str = ""
    start: str = ""
    end: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.state in LIVE


def look(job_ids: Sequence[str], cache: Path | None = None, max_age: float = 0) -> dict[str, Job]:
    """Return what Slurm knows of some jobs, array tasks as ``ID_INDEX``, without the unknown ones.

    Parameters
    ----------
    job_ids
        The jobs.
    cache, max_age
        File that keeps answers, and the age in seconds up to which one is good enough.
    """
    if not job_ids:
        return {}
    if cache is not None:
        known = _cached(cache, max_age)
        if known is not None and set(job_ids) <= set(known):
            return {job: known[job] for job in job_ids}
    found = parse_queue(_ask(["squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r|%N"]))
    missing = sorted({base(job) for job in job_ids if job not in found}, key=int)
    if missing:
        found |= {
            job: entry
            for job, entry in parse_accounting(_ask(_sacct(missing))).items()
            if job not in found
        }
    found = {job: found[job] for job in job_ids if job in found}
    if cache is not None:
        write_json(cache, {"asked": time.time(), "jobs": {j: asdict(e) for j, e in found.items()}})
    return found


def history(job_id: str) -> list[Job]:
    """Return every run of one job, oldest first: a requeued job has several."""
    text = _ask([*_sacct([base(job_id)]), "--duplicates"])
    return [job for name, job in _accounting_rows(text) if name == job_id]


def base(job_id: str) -> str:
    """Return the number of a job, or of the array a task belongs to."""
    return job_id.partition("_")[0]


def parse_queue(text: str) -> dict[str, Job]:
    """Return the jobs in the output of ``squeue --format=%i|%T|%r|%N``."""
    jobs = {}
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) == 4:
            for name in expand(fields[0]):
                jobs[name] = Job(fields[1], fields[2], fields[3])
    return jobs


def parse_accounting(text: str) -> dict[str, Job]:
    """Return the jobs in the output of ``sacct``; the last line of a job wins."""
    return dict(_accounting_rows(text))


def _accounting_rows(text: str) -> Iterator[tuple[str, Job]]:
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) != 6 or "." in fields[0]:
            continue
        # "CANCELLED by 1000"; "UNKNOWN" says nothing.
        state = fields[1].split(" ")[0].rstrip("+")
        if state == "UNKNOWN":
            continue
        for name in expand(fields[0]):
            yield name, Job(state, fields[1], *fields[2:])


def expand(name: str) -> list[str]:
    """Return the tasks behind an array's name: ``7_[1-2,5%3]`` is 7_1, 7_2 and 7_5."""
    match = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", name)
    if match is None:
        return [name]
    tasks = []
    for part in match.group(2).split(","):
        first, _, last = part.partition("-")
        tasks += [f"{match.group(1)}_{i}" for i in range(int(first), int(last or first) + 1)]
    return tasks


def max_array_size() -> int:
    """Return the largest job array the scheduler takes, 1000 when it does not say."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _ask(["scontrol", "show", "config"]))
    return int(found.group(1)) if found else 1000


def _sacct(bases: Sequence[str]) -> list[str]:
    columns = "--format=JobID,State,NodeList,Submit,Start,End"
    options = ["--allocations", "--parsable2", "--noheader", columns]
    return ["sacct", *options, f"--jobs={','.join(bases)}"]


def _cached(cache: Path, max_age: float) -> dict[str, Job] | None:
    try:
        content = read_json(cache)
        if time.time() - content["asked"] > max_age:
            return None
        return {job: Job(**entry) for job, entry in content["jobs"].items()}
    except (InputError, KeyError, TypeError):
        return None


def _ask(argv: Sequence[str]) -> str:
    """Run a Slurm command; no answer means that it knows nothing, which is not an error."""
    try:
        answer = subprocess.run(
            argv, capture_output=True, text=True, timeout=QUERY_SECONDS, check=False
        )
    except FileNotFoundError:
        raise EnvironmentLacks(
            f"{argv[0]}: not found; run this where Slurm's commands are (a login node), or choose "
            "another --site"
        ) from None
    except subprocess.TimeoutExpired:
        return ""
    return answer.stdout if answer.returncode == 0 else ""
