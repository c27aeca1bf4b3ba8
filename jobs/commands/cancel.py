"""``hpcbench cancel``: take back what waits, stop what runs; what was written is kept."""

import argparse
import subprocess
from pathlib import Path

from hpcbench.console import message, print_results
from hpcbench.errors import EnvironmentLacks
from jobs.records.study_folder import find_study
from jobs.status.overview import Overview

JOBS_AT_ONCE = 500
"""Job numbers on one command line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench cancel``."""
    parser.add_argument("study", metavar="STUDY", help="name, folder or file of the study")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies")


def command(arguments: argparse.Namespace) -> int:
    """Cancel a study's jobs, or ask a runner on this machine to stop."""
    study = find_study(arguments.study, arguments.out)
    overview = Overview(study)
    live = [state for state in overview.states(max_age=0) if state.submitted]
    jobs = sorted({state.job_id for state in live if state.job_id[:1].isdigit()})
    for start in range(0, len(jobs), JOBS_AT_ONCE):
        _scancel(jobs[start : start + JOBS_AT_ONCE])
    if len(jobs) < len(live) or not overview.submissions:
        (study.path / "cancel").touch()
    message(f"{study.path.name}: {len(live)} points were waiting or running; asked them to stop")
    results = [{"name": "cancelled", "value": len(live), "unit": "points"}]
    print_results(results, arguments.json, {"study": str(study.path)})
    return 0


def _scancel(jobs: list[str]) -> None:
    try:
        done = subprocess.run(["scancel", *jobs], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise EnvironmentLacks("scancel: not found; run this on the cluster's login node") from None
    if done.returncode:
        message(done.stderr.strip())
