"""Scaling tables: time, speed-up and efficiency against ranks, always with their base and spread.

strong       S = T(p₀)/T(p),  E = S·p₀/p           (global work fixed)
weak         E = T(p₀)/T(p)                        (work per rank fixed)
throughput   E = X(p)·p₀/(X(p₀)·p), S = X(p)/X(p₀)

The base p₀ is the smallest number of ranks that was measured, never silently 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.intervals import Interval, ratio_interval
from analysis.tables.baselines import averaging_seconds
from analysis.tables.curves import Cell, Curve, recorded_values

SCALING_COLUMNS = (
    "study",
    "group",
    "label",
    "mode",
    "backend",
    "ranks",
    "step_seconds",
    "step_seconds_low",
    "step_seconds_high",
    "n",
    "interval_over",
    "base_ranks",
    "base_seconds",
    "base_kind",
    "speed_up",
    "speed_up_low",
    "speed_up_high",
    "efficiency",
    "efficiency_low",
    "efficiency_high",
    "super_linear",
    "sequences_per_second",
    "predicted_seconds",
    "nodes",
    "node_hours",
    "energy_joules",
    "n_ok",
    "n_failed",
    "n_missing",
)


def scaling_table(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return one row per curve and number of ranks, with :data:`SCALING_COLUMNS`."""
    rows = [
        curve.head | row for curve in curves for row in curve_rows(curve.head["mode"], curve.cells)
    ]
    return pd.DataFrame(rows, columns=list(SCALING_COLUMNS))


def curve_rows(mode: str, curve: Mapping[int, Cell]) -> list[dict[str, Any]]:
    """Return the rows of one curve; points without a timing keep their counts."""
    measured = [ranks for ranks, cell in curve.items() if cell.timings]
    base = min(measured) if measured else 0
    base_kind = "smallest measured"
    rows = []
    for ranks, cell in curve.items():
        states = cell.rows["state"]
        seconds, over = cell.step_seconds()
        row: dict[str, Any] = {
            "ranks": ranks,
            "step_seconds": seconds.value,
            "step_seconds_low": seconds.low,
            "step_seconds_high": seconds.high,
            "n": seconds.n,
            "interval_over": over,
            "sequences_per_second": rate(cell),
            "nodes": float(np.median(cell.nodes)) if cell.nodes else math.nan,
            "node_hours": node_hours(cell),
            "energy_joules": recorded(cell, "energy_joules"),
            "n_ok": int((states == "done").sum()),
            "n_missing": int((states == "missing").sum()),
        }
        row["n_failed"] = len(states) - row["n_ok"] - row["n_missing"]
        if cell.timings and base:
            row |= {"base_ranks": base, "base_kind": base_kind}
            row |= {"base_seconds": curve[base].step_seconds()[0].value}
            row |= speed_up(mode, base, curve[base], ranks, cell)
            row |= {"predicted_seconds": predicted(mode, base, curve[base], ranks, cell)}
        rows.append(row)
    return rows


def rate(cell: Cell) -> float:
    """Return sequences per second as Σwork / Σtime over all timed steps of all runs."""
    work = sum(training.sequences_per_step * len(training.timed) for training in cell.trainings)
    seconds = sum(float(training.timed.sum()) for training in cell.trainings)
    return work / seconds if seconds > 0 else math.nan


def recorded(cell: Cell, metric: str) -> float:
    """Return the median of a recorded metric over the finished runs, NaN where none has it."""
    values = recorded_values(cell.rows, metric)
    return float(np.median(values)) if len(values) else math.nan


def node_hours(cell: Cell) -> float:
    """Return the node-hours all timed runs together trained for."""
    seconds = [float(training.slowest.sum()) for training in cell.trainings]
    if len(seconds) != len(cell.nodes) or not seconds:
        return math.nan
    return sum(s * n for s, n in zip(seconds, cell.nodes, strict=True)) / 3600


def predicted(mode: str, base_ranks: int, base: Cell, ranks: int, cell: Cell) -> float:
    """Return the step time expected from the base and the allreduces measured in the same jobs.

    The base's step without its averaging, scaled to its share of the work, plus one allreduce of
    the gradient: what a machine does that hides nothing behind the backward pass. NaN where the
    runs measured no allreduces.
    """
    share = base_ranks / ranks * (1.0 if mode == "strong" else work_ratio(base, cell))
    before = 0.0 if base_ranks == 1 else averaging_seconds(base)
    now = 0.0 if ranks == 1 else averaging_seconds(cell)
    return float((np.median(base.medians) - before) * share + now)


def work_ratio(base: Cell, cell: Cell) -> float:
    """Return the work of a step of ``cell`` over that of ``base`` (1 where it is not recorded)."""
    amounts = [[t.sequences_per_step for t in c.trainings] for c in (base, cell)]
    if not all(amounts):
        return 1.0
    before, after = (float(np.median(amount)) for amount in amounts)
    return after / before if math.isfinite(before) and math.isfinite(after) else 1.0


def speed_up(mode: str, base_ranks: int, base: Cell, ranks: int, cell: Cell) -> dict[str, Any]:
    """Return speed-up and efficiency of ``cell`` against ``base`` with their intervals.

    The ratio is formed from the medians last, and resampled as a whole: allocation, run, steps.
    """
    if ranks == base_ranks:
        ratio = Interval(1.0, 1.0, 1.0, len(cell.timings))
    else:
        ratio = ratio_interval(base.timings, cell.timings, (base.allocations, cell.allocations))
        # of the times in the same rows, which are those of steps where runs are few
        times = [side.step_seconds()[0].value for side in (base, cell)]
        ratio = replace(ratio, value=times[0] / times[1])
    growth = 1.0 if mode == "strong" else work_ratio(base, cell)
    if mode == "weak":
        # The work grows with the ranks, so the ideal time is constant and S = E·p/p₀.
        per_speed_up, per_efficiency = ranks / base_ranks, 1.0
    else:
        per_speed_up, per_efficiency = growth, growth * base_ranks / ranks
    row: dict[str, Any] = {}
    for name, factor in (("speed_up", per_speed_up), ("efficiency", per_efficiency)):
        row |= {
            name: ratio.value * factor,
            f"{name}_low": ratio.low * factor,
            f"{name}_high": ratio.high * factor,
        }
    row["super_linear"] = bool(row["efficiency_low"] > 1.0 and ranks != base_ranks)
    return row
