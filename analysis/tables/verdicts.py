"""The verdict on runs of A and B that did the same: is B the same, faster, slower, or undecided?

It needs two witnesses: the interval of the ratio of medians and a permutation test
(Holm-adjusted over all pairs).

same        the interval lies inside the margin
slower      the ratio is beyond the margin, its interval excludes 1, and so does the test
faster      likewise on the other side
undecided   everything else, also with too few runs
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.records.collect import Collection
from analysis.statistics.intervals import Interval, ratio_interval
from analysis.statistics.significance import holm, permutation_test
from analysis.tables.curves import Curve, read_curves, recorded_values
from hpcbench.errors import InputError, nearest

Array = npt.NDArray[Any]

LEAST_RUNS = 4
"""Runs per side below which no split of them is rare enough for the test (2/C(8, 4) = 2.9 %)."""

SIGNIFICANCE = 0.05
DEFAULT_MARGIN = 0.05

VERDICT_COLUMNS = (
    "label", "backend", "ranks", "n_a", "n_b", "a", "b", "ratio", "ratio_low", "ratio_high",
    "p_value", "margin", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Runs of A and B that did the same: a value (or series of step times) per run."""

    head: Mapping[str, Any]
    a: Sequence[Array]
    b: Sequence[Array]
    allocations: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None)


def verdict_table(
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
    return pd.DataFrame(rows, columns=list(VERDICT_COLUMNS))


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
