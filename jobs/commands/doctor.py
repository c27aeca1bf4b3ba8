"""``hpcbench doctor``: what this machine has, what is missing and how to get it.

With ``--site NAME`` it examines a cluster's profile instead (:mod:`jobs.doctor.site_doctor`).
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hpcbench.console import message, print_results
from hpcbench.errors import EnvironmentLacks, InputError
from jobs.doctor import hardware, software
from jobs.doctor.finding import Finding

PROBES: tuple[Callable[[], list[Finding]], ...] = (
    hardware.machine,
    hardware.disk,
    software.packages,
    software.compilers,
    software.mpi,
    software.training,
    software.data,
    hardware.gpus,
    software.slurm,
    hardware.allocator,
    hardware.energy,
)
"""What is looked at, in the order it is shown."""

STYLES = {
    "ok": "green",
    "missing": "bold red",
    "optional": "yellow",
    "pass": "green",
    "warn": "yellow",
    "fail": "bold red",
}
PLAIN_WIDTH = 132
"""Columns of the table when standard output is not a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench doctor``."""
    parser.add_argument("--site", help="check this site profile from here and with a trial job")
    parser.add_argument("--no-job", action="store_true", help="with --site: submit no trial job")
    parser.add_argument(
        "--wait",
        type=float,
        default=10.0,
        metavar="MINUTES",
        help="with --site: minutes the trial job may wait in the queue (10)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="with --site: folder of all studies"
    )


def command(arguments: argparse.Namespace) -> int:
    """Show every finding; return 4 when something is missing or fails."""
    if arguments.overrides:
        raise InputError(
            f"doctor: {arguments.overrides[0]}: it has no configuration; valid: --json, --site"
        )
    if arguments.site is None:
        findings = examine()
    else:
        # Imported here: a machine without submitit can still be examined.
        from jobs.doctor.site_doctor import examine_site
        from jobs.site.profile import read_site

        site = read_site(arguments.site)
        with_job, wait = not arguments.no_job, arguments.wait
        findings = examine_site(arguments.site, site, arguments.out, with_job, wait)
    if arguments.json or importlib.util.find_spec("rich") is None:
        print_results([finding.as_result() for finding in findings], as_json=arguments.json)
    else:
        print_table(findings)
    lacking = [finding for finding in findings if finding.status in ("missing", "fail")]
    for finding in lacking:
        what = "is missing" if finding.status == "missing" else "fails"
        message(f"hpcbench doctor: {finding.name} {what} ({finding.value}): {finding.hint}")
    return EnvironmentLacks.exit_code if lacking else 0


def examine() -> list[Finding]:
    """Run all probes at the same time (most wait for a child process), keeping their order."""
    with ThreadPoolExecutor(max_workers=len(PROBES)) as pool:
        return [finding for found in pool.map(lambda probe: probe(), PROBES) for finding in found]


def print_table(findings: Sequence[Finding]) -> None:
    """Print the findings as a table on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "here", "note"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        value = "none" if finding.value is None else f"{finding.value} {finding.unit}".strip()
        table.add_row(
            Text(finding.status, style=STYLES[finding.status]),
            finding.name,
            Text(value),
            Text(finding.hint),
        )
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(table)
