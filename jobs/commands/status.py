"""``hpcbench status``: the state of every point, why, and the end of the log that explains it."""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpcbench.console import message, print_results
from jobs.records.study_folder import describe, find_study
from jobs.status.overview import Overview
from jobs.status.states import STATES, PointState

WATCH_SECONDS = 10.0
LOG_LINES = 8
QUIET_STATES = ("done", "pending", "running")
"""States that need no explanation."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench status``."""
    parser.add_argument("study", metavar="STUDY", help="name, folder or file of the study")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies")
    parser.add_argument("--watch", action="store_true", help="repeat until every point has ended")
    parser.add_argument("--all", action="store_true", help="list the finished points too")


def status(study: Path | str, out: Path | str = "runs") -> list[PointState]:
    """Return the state of every point of a study: what it does, or why it ended as it did.

    Parameters
    ----------
    study
        Name, folder or file of the study.
    out
        The folder of all studies.

    Raises
    ------
    InputError
        There is no such study.
    EnvironmentLacks
        The study went to Slurm, whose commands are not here.
    """
    return Overview(find_study(str(study), Path(out))).states()


def command(arguments: argparse.Namespace) -> int:
    """Show a study's points."""
    study = find_study(arguments.study, arguments.out)
    while True:
        overview = Overview(study)
        states = overview.states()
        if arguments.json:
            print_results(
                [_result(state, overview) for state in states], True, _document(overview, states)
            )
        else:
            _print(overview, states, arguments.all)
        if not arguments.watch or not any(state.submitted for state in states):
            return 0
        time.sleep(WATCH_SECONDS)


def log_tail(state: PointState) -> list[str]:
    """Return the last lines of the log that belongs to a state."""
    if state.attempt is None:
        return []
    try:
        text = (state.attempt / "log.txt").read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-LOG_LINES:]


def _print(overview: Overview, states: Sequence[PointState], everything: bool) -> None:
    """Print one line for each point that is not done, and the counts."""
    by_id = {point.id: point for point in overview.points}
    for state in states:
        if state.state == "done" and not everything:
            continue
        varied = describe(by_id[state.id].varied)
        progress = f" step {state.step} of {state.num_steps}" if state.step is not None else ""
        job = f" job {state.job_id}" if state.job_id else ""
        print(f"{state.id}  {state.state:<13} {varied}{progress}{job}", flush=True)
        reason = state.reason.splitlines()
        if reason:
            print(f"    {reason[0]}", flush=True)
        if state.state not in QUIET_STATES:
            for line in log_tail(state):
                print(f"    | {line}", flush=True)
            if state.attempt is not None:
                print(f"    {state.attempt / 'log.txt'}", flush=True)
    counts = Counter(state.state for state in states)
    shown = ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])
    message(f"{overview.study.path.name}: {len(states)} points: {shown}")


def _result(state: PointState, overview: Overview) -> dict[str, Any]:
    record = state.record
    return {
        "name": state.id,
        "value": state.state,
        "unit": "",
        "reason": state.reason,
        "step": state.step,
        "num_steps": state.num_steps,
        "job_id": state.job_id,
        "nodes": list(record.nodes) if record else [],
        "attempt": str(state.attempt) if state.attempt else None,
        "times": record.times if record else None,
        "log": [] if state.state in QUIET_STATES else log_tail(state),
    }


def _document(overview: Overview, states: Sequence[PointState]) -> dict[str, Any]:
    counts = Counter(state.state for state in states)
    return {
        "study": str(overview.study.path),
        "site": overview.record.site,
        "counts": {name: counts[name] for name in STATES if counts[name]},
    }
