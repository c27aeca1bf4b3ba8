"""``hpcbench resume``: run again what failed, was lost or was never submitted."""

import argparse
from pathlib import Path

from hpcbench.console import message
from hpcbench.errors import InputError, nearest
from jobs.commands.submit import hand_over, report_counts
from jobs.records.study_folder import find_study
from jobs.site.profile import read_site
from jobs.status.overview import Overview
from jobs.status.states import STATES, bad_nodes

AGAIN = ("pending", "failed", "timed out", "preempted", "node failure", "cancelled", "lost")
"""States that are tried again; the same work would diverge or outgrow the memory again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench resume``."""
    parser.add_argument("study", metavar="STUDY", help="name, folder or file of the study")
    parser.add_argument("--site", help="site profile (default: the one submitted to)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="STATE",
        help='further states to try again: "diverged", "out of memory"',
    )
    parser.add_argument(
        "--repeat",
        action="store_true",
        help="first add repeats to points whose median step time is too uncertain ([repeat])",
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="NODE", help="a node that no job may use"
    )


def command(arguments: argparse.Namespace) -> int:
    """Hand over the points that are neither done nor in somebody's hands."""
    for state in arguments.also:
        if state not in STATES:
            valid = ", ".join(STATES)
            raise InputError(f'--also: "{state}" is no state{nearest(state, STATES)}; {valid}')
    for node in arguments.exclude:
        if not all(letter.isalnum() or letter in "-_.[]," for letter in node):
            raise InputError(f"--exclude: {node!r} is no name of a node")
    folder = find_study(arguments.study, arguments.out)
    if arguments.repeat:
        from jobs.running.repeats import add_repeats

        message(f"{folder.path.name}: {add_repeats(folder)} further repeats")
    overview = Overview(folder)
    site = read_site(arguments.site or overview.record.site)
    wanted = (*AGAIN, *arguments.also)
    again = {s.id for s in overview.states(max_age=0) if s.state in wanted and not s.submitted}
    points = [point for point in overview.points if point.id in again]
    bad = bad_nodes(folder, overview.points) if site.scheduler == "slurm" else []
    if bad:
        message(f"left out, as points failed there and none succeeded: {', '.join(bad)}")
    counts = hand_over(folder, points, site, [*arguments.exclude, *bad])
    return report_counts(folder, counts, arguments.json)
