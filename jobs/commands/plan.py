"""``hpcbench plan``: every point of a study, its command and its cost; nothing is submitted."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcbench.console import message, print_results
from hpcbench.errors import EnvironmentLacks
from hpcbench.run.point import Point
from jobs.launch.command import ranks_command, train_argv
from jobs.records.study_folder import StudyFolder, describe
from jobs.site.placement import Placement, place_ranks
from jobs.site.profile import Site, read_site
from jobs.study.file import read_study

if TYPE_CHECKING:
    from jobs.study.points import Plan

TAKES_OVERRIDES = True

SHOWN = 40
"""Points listed without --all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench plan``."""
    parser.add_argument("study", type=Path, metavar="STUDY.toml", help="file of the study")
    parser.add_argument(
        "--site", default="local", help="site profile of the cluster (docs/sites.md)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies")
    parser.add_argument("--all", action="store_true", help=f"list all points, not only {SHOWN}")


def command(arguments: argparse.Namespace) -> int:
    """Show every point of a study."""
    study = read_study(arguments.study, arguments.overrides)
    site = read_site(arguments.site)
    # Imported after the cheap checks: this import loads torch, which takes seconds.
    from jobs.study.points import plan_study

    plan = plan_study(study, arguments.study)
    points = plan.points if arguments.json or arguments.all else plan.points[:SHOWN]
    folder = StudyFolder(arguments.out / study.study.name)
    results = [_row(plan, point, site, folder) for point in points]
    summary = _summary(plan, site)
    if arguments.json:
        print_results(results, True, summary)
        return 0
    for row in results:
        varied = describe(row["varied"])
        print(
            f"{row['name']}  {row['ranks']} ranks on {row['nodes']} nodes  repeat {row['repeat']}  "
            f"≤ {row['value']:.3g} node-hours  {varied}\n    {shlex.join(row['command'])}"
        )
    if len(results) < len(plan.points):
        message(f"{len(plan.points) - len(results)} more points; --all lists them")
    message(
        f"{study.study.name}: {summary['points']} points in {summary['jobs']} jobs, "
        f"{summary['datasets']} datasets, at most {summary['node_hours']:.4g} node-hours; "
        "nothing was submitted"
    )
    return 0


def _row(plan: "Plan", point: Point, site: Site, study: StudyFolder) -> dict[str, Any]:
    placed = _placement(plan, site, point.ranks)
    dataset = plan.datasets[point.dataset].file(study.runs)
    attempt = study.point(point.id) / "a1"
    argv = train_argv(study.config(point.id), dataset, attempt, resume=False)
    try:
        command = ranks_command(site, placed, point.ranks, argv)
    except EnvironmentLacks:  # the job's node has one
        command = ["mpirun", "-n", str(point.ranks), *argv]
    return {
        "name": point.id,
        "value": placed.nodes * placed.minutes / 60,
        "unit": "node-hours",
        "ranks": point.ranks,
        "nodes": placed.nodes,
        "ranks_per_node": placed.ranks_per_node,
        "repeat": point.repeat,
        "group": point.group,
        "minutes": placed.minutes,
        "varied": point.varied,
        "dataset": str(dataset),
        "command": command,
    }


def _summary(plan: "Plan", site: Site) -> dict[str, Any]:
    resources = plan.study.resources
    nodes = [_placement(plan, site, point.ranks).nodes for point in plan.points]
    generated = [dataset for dataset in plan.datasets.values() if not dataset.path]
    return {
        "study": plan.study.study.name,
        "question": plan.study.study.question,
        "code": plan.code,
        "points": len(plan.points),
        "jobs": len({point.group for point in plan.points}) + len(generated),
        "datasets": len(plan.datasets),
        "node_hours": sum(nodes) * resources.minutes / 60
        + len(generated) * resources.dataset_minutes / 60,
    }


def _placement(plan: "Plan", site: Site, ranks: int) -> Placement:
    resources = plan.study.resources
    return place_ranks(resources, site, ranks, resources.minutes)
