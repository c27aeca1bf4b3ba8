"""``hpcbench submit``: hand a study's points to a scheduler, or run them on this machine."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcbench.console import message, print_results
from hpcbench.errors import PartlyDone
from hpcbench.run.point import Point
from jobs.records.study_folder import StudyFolder
from jobs.running.local import LocalRunner
from jobs.site.profile import Site, read_site
from jobs.status.overview import Overview
from jobs.status.states import Code
from jobs.study.file import read_study

TAKES_OVERRIDES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench submit``."""
    parser.add_argument("study", type=Path, metavar="STUDY.toml", help="file of the study")
    parser.add_argument("--site", required=True, help="site profile of the cluster, or local")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies")


def command(arguments: argparse.Namespace) -> int:
    """Submit the points of a study that nobody has submitted before."""
    folder, counts = _submit(arguments.study, arguments.site, arguments.out, arguments.overrides)
    return report_counts(folder, counts, arguments.json)


def submit(study: Path | str, site: str = "local", out: Path | str = "runs") -> dict[str, int]:
    """Submit the points of a study that nobody has submitted before, or run them here.

    Parameters
    ----------
    study
        The study's TOML file.
    site
        Profile of the cluster; ``local`` runs the points on this machine and returns when they
        have ended.
    out
        The folder of all studies.

    Returns
    -------
    How many points were ``submitted`` in how many ``jobs``; with a local site, how many ended in
    each state.

    Raises
    ------
    InputError
        The study or the profile is wrong, or the scheduler refuses a job.
    EnvironmentLacks
        There is no launcher, or none of Slurm's commands.
    """
    return _submit(Path(study), site, Path(out), [])[1]


def _submit(
    study_file: Path, site_name: str, out: Path, overrides: list[str]
) -> tuple[StudyFolder, dict[str, int]]:
    study = read_study(study_file, overrides)
    site = read_site(site_name)
    # Imported after the cheap checks: this import loads torch, which takes seconds.
    from jobs.study.points import plan_study

    plan = plan_study(study, study_file)
    folder = StudyFolder(out / study.study.name)
    folder.write_plan(plan, study_file.absolute(), site_name)
    overview = Overview(folder)
    states = {state.id: state for state in overview.states(max_age=0)}
    new = [point for point in overview.points if states[point.id].code == Code.NOT_SUBMITTED]
    open_states = Counter(
        state.state for state in states.values() if state.state != "done" and not state.submitted
    )
    open_states["pending"] -= len(new)
    if +open_states:
        shown = ", ".join(f"{count} {state}" for state, count in (+open_states).items())
        message(f"not done: {shown}; `hpcbench resume {study.study.name}` tries them again")
    return folder, hand_over(folder, new, site)


def hand_over(
    folder: StudyFolder, points: Sequence[Point], site: Site, exclude: Sequence[str] = ()
) -> dict[str, int]:
    """Run points here or submit them; return how many, by what became of them."""
    name = folder.path.name
    if not points:
        message(f"{name}: nothing to submit")
        return {"submitted": 0}
    if site.scheduler == "local":
        return dict(LocalRunner(folder, site).run(points))
    # Imported here: --site local needs no submitit.
    from jobs.slurm.submitter import Submitter

    num_jobs = Submitter(folder, site, exclude).submit(points)
    message(f"{name}: {len(points)} points in {num_jobs} jobs; watch: hpcbench status {name}")
    return {"submitted": len(points), "jobs": num_jobs}


def report_counts(folder: StudyFolder, counts: Mapping[str, int], as_json: bool) -> int:
    """Print what became of the points; raise :class:`PartlyDone` when some ended otherwise."""
    results = [
        {"name": name, "value": value, "unit": "jobs" if name == "jobs" else "points"}
        for name, value in counts.items()
    ]
    print_results(results, as_json, {"study": str(folder.path)})
    left = {s: count for s, count in counts.items() if s not in ("done", "submitted", "jobs")}
    if left:
        shown = ", ".join(f"{count} {state}" for state, count in left.items())
        raise PartlyDone(
            f"{folder.path.name}: {shown}; `hpcbench status {folder.path}` says why, "
            f"`hpcbench resume {folder.path}` goes on"
        )
    return 0
