"""``hpcbench compare A B``: is B the same, faster or slower than A, or can that not be told?

The verdict needs two witnesses: the interval of the ratio of medians and a permutation test
(Holm-adjusted over all pairs).

same        the interval lies inside the margin
slower      the ratio is beyond the margin, its interval excludes 1, and so does the test
faster      likewise on the other side
undecided   everything else, also with too few runs
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.records.collect import Collection, collect
from analysis.report.formatting import numeric, plain, ranged, reader_table, render, whole
from analysis.statistics.intervals import Interval, ratio_interval
from analysis.statistics.significance import holm, permutation_test
from analysis.tables.curves import Curve, read_curves, recorded_values
from hpcbench.console import print_results
from hpcbench.errors import GateFailed, InputError, nearest

Array = npt.NDArray[Any]

LEAST_RUNS = 4
"""Runs per side below which no split of them is rare enough for the test (2/C(8, 4) = 2.9 %)."""

SIGNIFICANCE = 0.05
DEFAULT_MARGIN = 0.05

READER = (
    plain("label", "what"), plain("backend"), whole("ranks"), whole("n_a"), whole("n_b"),
    numeric("a"), numeric("b"), ranged("ratio", "B/A (95 % interval)"), numeric("p_value", "p"),
    plain("verdict"),
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Runs of A and B that did the same: a value (or series of step times) per run."""

    head: Mapping[str, Any]
    a: Sequence[Array]
    b: Sequence[Array]
    allocations: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None)


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
    table = compare(collect([arguments.a]), collect([arguments.b]), margin, arguments.metric)
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


def compare(
    a: Collection, b: Collection, margin: float = DEFAULT_MARGIN, metric: str = "step_seconds"
) -> pd.DataFrame:
    """Return a row per pair of cells with ratio, interval, p-value and verdict.

    Raises
    ------
    InputError
        No run recorded the metric.
    """
    known = {*a.units, *b.units}
    if metric not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise InputError(
            f"--metric {metric}: no run has it{nearest(metric, known)}; valid: {listed}"
        )
    direction = {**a.better, **b.better}[metric]
    words = ("slower", "faster") if {**a.units, **b.units}[metric] == "s" else ("worse", "better")
    if direction == "higher":
        words = words[::-1]
    return judge(pairs(read_curves(a), read_curves(b), metric), margin, words)


def pairs(a: Sequence[Curve], b: Sequence[Curve], metric: str) -> list[Pair]:
    """Return the cells both sides have: same work, back end and ranks.

    Where each side has just one cell these two are a pair, whatever they ran: that is what was
    asked for.
    """
    sides = [
        {
            (curve.head["group"], curve.head["backend"], ranks): (curve.head, cell)
            for curve in curves
            for ranks, cell in curve.cells.items()
            if cell.timings
        }
        for curves in (a, b)
    ]
    keys = [(key, key) for key in sides[0] if key in sides[1]]
    if not keys and len(sides[0]) == len(sides[1]) == 1:
        keys = [(next(iter(sides[0])), next(iter(sides[1])))]
    result = []
    for first, second in keys:
        head, cell_a = sides[0][first]
        cell_b = sides[1][second][1]
        described = {**head, "ranks": first[2]}
        if metric == "step_seconds":
            allocations = (cell_a.allocations, cell_b.allocations)
            result.append(Pair(described, cell_a.timings, cell_b.timings, allocations))
            continue
        values = [recorded_values(cell.rows, metric) for cell in (cell_a, cell_b)]
        if all(len(value) for value in values):
            series = [[np.array([x]) for x in value] for value in values]
            result.append(Pair(described, series[0], series[1]))
    return result


def judge(
    found: Sequence[Pair], margin: float, words: tuple[str, str] = ("slower", "faster")
) -> pd.DataFrame:
    """Return the verdicts on pairs; ``words`` are those for a larger and a smaller ratio B/A."""
    medians = [[np.array([np.median(run) for run in side]) for side in (p.a, p.b)] for p in found]
    p_values = holm([permutation_test(a, b) for a, b in medians])
    rows = []
    for pair, (a, b), p_value in zip(found, medians, p_values, strict=True):
        ratio = ratio_interval(pair.b, pair.a, pair.allocations[::-1])
        rows.append(
            {
                **{name: pair.head.get(name) for name in ("label", "backend", "ranks")},
                "n_a": len(a), "n_b": len(b), "a": float(np.median(a)), "b": float(np.median(b)),
                "ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high,
                "p_value": float(p_value), "margin": margin,
                "verdict": verdict(ratio, float(p_value), margin, min(len(a), len(b)), words),
            }
        )  # fmt: skip
    columns = ["label", "backend", "ranks", "n_a", "n_b", "a", "b", "ratio", "ratio_low",
               "ratio_high", "p_value", "margin", "verdict"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def verdict(
    ratio: Interval, p_value: float, margin: float, runs: int, words: tuple[str, str]
) -> str:
    """Return the verdict on one ratio B/A."""
    if runs < LEAST_RUNS or not math.isfinite(ratio.low):
        return "undecided"
    low, high = 1 / (1 + margin), 1 + margin
    if low <= ratio.low and ratio.high <= high:
        return "same"
    if p_value <= SIGNIFICANCE:
        if ratio.value > high and ratio.low > 1:
            return words[0]
        if ratio.value < low and ratio.high < 1:
            return words[1]
    return "undecided"
