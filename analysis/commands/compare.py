"""``hpcbench compare A B``: is B the same, faster or slower than A, or can that not be told?"""

import argparse
import math
from pathlib import Path
from typing import Any

from analysis.records.collect import collect
from analysis.report.formatting import numeric, plain, ranged, reader_table, render, whole
from analysis.tables.verdicts import verdict_table
from hpcbench.console import print_results
from hpcbench.errors import GateFailed, InputError

READER = (
    plain("label", "what"), plain("backend"), whole("ranks"), whole("n_a"), whole("n_b"),
    numeric("a"), numeric("b"), ranged("ratio", "B/A (95 % interval)"), numeric("p_value", "p"),
    plain("verdict"),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench compare``."""
    parser.add_argument("a", type=Path, metavar="A", help="run or study to compare with")
    parser.add_argument("b", type=Path, metavar="B", help="run or study to judge")
    parser.add_argument("--margin", default="5%", help="difference too small to matter (5%%)")
    parser.add_argument("--metric", default="step_seconds", help="recorded metric to compare")
    parser.add_argument("--gate", action="store_true", help="exit with 1 when B is worse anywhere")


def command(arguments: argparse.Namespace) -> int:
    """Print the verdict on every pair."""
    margin = parse_margin(arguments.margin)
    table = verdict_table(collect([arguments.a]), collect([arguments.b]), margin, arguments.metric)
    if table.empty:
        raise InputError(
            f"{arguments.a} and {arguments.b}: no finished runs of the same work, back end and "
            "ranks on both sides; give two studies of one configuration"
        )
    if arguments.json:
        results = [
            {"name": f"{row['label']} {row['backend']} {row['ranks']:.0f}", "value": row["verdict"],
             "unit": "", **{str(k): none_if_nan(v) for k, v in row.items()}}
            for row in table.to_dict("records")
        ]  # fmt: skip
        print_results(results, as_json=True)
    else:
        print(render(reader_table(table, READER), "simple"))
    worse = table[table["verdict"].isin(["slower", "worse"])]
    if arguments.gate and len(worse):
        raise GateFailed(f"B is worse than A by more than {margin:.0%} in {len(worse)} comparisons")
    return 0


def none_if_nan(value: Any) -> Any:
    """Return a value that JSON can hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse_margin(text: str) -> float:
    """Return ``0.05`` for ``"5%"`` or ``"0.05"``."""
    try:
        margin = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        margin = math.nan
    if not 0 < margin < 1:
        raise InputError(f"--margin {text}: expected a share such as 5% or 0.05, between 0 and 1")
    return margin
