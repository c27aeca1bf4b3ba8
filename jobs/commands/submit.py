"""``hpcbench submit``: hand a study's points to a scheduler, or run them on this machine."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcbench.console import message, print_results
from hpcbench.errors import PartlyDone
from jobs.records.study_folder import StudyFolder
from jobs.running.local import LocalRunner
from jobs.site.profile import Site, read_site
from jobs.status.overview import Overview
from jobs.study.file import read_study

TAKES_OVERRIDES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench submit``."""
    parser.add_argument("study", type=Path, metavar="STUDY.toml", help="file of the study")
    parser.add_argument("--site", required=True, help="site profile of the cluster, or local")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies")


def command(arguments: argparse.Namespace) -> int:
    """Submit the points of a study that nobody has submitted before."""
    study = read_study(arguments.study, arguments.overrides)
    site = read_site(arguments.site)
    # Imported after the cheap checks: this import loads torch, which takes seconds.
    from jobs.study.points import plan_study

    plan = plan_study(study, arguments.study)
    folder = StudyFolder(arguments.out / study.study.name)
    folder.write_plan(plan, arguments.study.absolute(), arguments.site)
    overview = Overview(folder)
    states = {state.id: state for state in overview.states(max_age=0)}
    new = [point for point in overview.points if states[point["id"]].reason == "not submitted"]
    open_states = Counter(
        state.state for state in states.values() if state.state != "done" and not state.submitted
    )
    open_states["pending"] -= len(new)
    if +open_states:
        shown = ", ".join(f"{count} {state}" for state, count in (+open_states).items())
        message(f"not done: {shown}; `hpcbench resume {study.study.name}` tries them again")
    return hand_over(folder, new, site, arguments.json)


def hand_over(
    folder: StudyFolder,
    points: Sequence[Mapping[str, Any]],
    site: Site,
    as_json: bool,
    exclude: Sequence[str] = (),
) -> int:
    """Run points here or submit them; report; raise :class:`PartlyDone` when some failed here."""
    name = folder.path.name
    if not points:
        message(f"{name}: nothing to submit")
        print_results(_results({"submitted": 0}), as_json, {"study": str(folder.path)})
        return 0
    if site.scheduler == "local":
        counts = LocalRunner(folder, site).run(points)
        print_results(_results(counts), as_json, {"study": str(folder.path)})
        left = {state: count for state, count in counts.items() if state != "done"}
        if left:
            shown = ", ".join(f"{count} {state}" for state, count in left.items())
            raise PartlyDone(
                f"{name}: {shown}; `hpcbench status {folder.path}` says why, "
                f"`hpcbench resume {folder.path}` goes on"
            )
        return 0
    # Imported here: --site local needs no submitit.
    from jobs.slurm.submitter import Submitter

    num_jobs = Submitter(folder, site, exclude).submit(points)
    message(f"{name}: {len(points)} points in {num_jobs} jobs; watch: hpcbench status {name}")
    counts = Counter({"submitted": len(points), "jobs": num_jobs})
    print_results(_results(counts), as_json, {"study": str(folder.path)})
    return 0


def _results(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": value, "unit": "jobs" if name == "jobs" else "points"}
        for name, value in counts.items()
    ]
