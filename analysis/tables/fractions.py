"""Where the efficiency goes: factors that multiply back to what was measured.

With C̄ the mean over ranks of the compute time of a step, C the largest, D the wait for data, X the
exposed communication and T the step time (all means over steps, so that sums stay sums), against
the base p₀ (index 0) and at equal work

    E = p₀T₀/(pT) = (p₀C̄₀/pC̄) · (C̄/C)/(C̄₀/C₀) · (C/(C+D))/(…)₀ · ((T−X)/T)/(…)₀
         compute growth   load balance           data wait          exposed communication

X is T minus the step time with synchronisation off (back end ``none``) where that was run, else
T − C − D, which also holds the optimiser. What the product misses is printed as the residual.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.tables.curves import Cell, Curve
from analysis.tables.scaling import work_ratio

FACTORS = ("compute", "load_balance", "data_wait", "exposed_communication")
"""What the efficiency is the product of."""

FRACTION_COLUMNS = (
    "study", "group", "label", "mode", "backend", "ranks", "base_ranks", "step_seconds",
    "compute_seconds", "data_seconds", "exposed_seconds", "exposed_from", *FACTORS, "product",
    "efficiency", "residual",
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """Mean seconds of the parts of a step."""

    step: float
    mean_compute: float
    max_compute: float
    data: float
    exposed: float
    exposed_from: str


def parts(cell: Cell, without: Cell | None) -> Parts | None:
    """Return the parts of a step, or None where no run recorded them per rank."""
    rows = []
    for training in cell.trainings:
        compute = training.after_warm_up(training.compute_seconds)
        if compute.size == 0:
            continue
        data = (
            training.after_warm_up(training.data_seconds).max(axis=1).mean()
            if training.data_seconds.size
            else 0.0
        )
        rows.append(
            (training.timed.mean(), compute.mean(), compute.max(axis=1).mean(), float(data))
        )
    if not rows:
        return None
    step, mean_compute, max_compute, data_wait = (float(x) for x in np.mean(rows, axis=0))
    exposed, source = step - max_compute - data_wait, "rest of the step"
    if without is not None and without.trainings:
        free = float(np.mean([training.timed.mean() for training in without.trainings]))
        exposed, source = step - free, "back end none"
    return Parts(step, mean_compute, max_compute, data_wait, exposed, source)


def factors(base_ranks: int, base: Parts, ranks: int, now: Parts, growth: float) -> dict[str, Any]:
    """Return the factors of the efficiency, their product, the efficiency and the residual."""
    share = growth * base_ranks / ranks
    row = {
        "compute": share * base.mean_compute / now.mean_compute,
        "load_balance": ratio(now.mean_compute, now.max_compute, base.mean_compute,
                              base.max_compute),
        "data_wait": ratio(now.max_compute, now.max_compute + now.data, base.max_compute,
                           base.max_compute + base.data),
        "exposed_communication": ratio(now.step - now.exposed, now.step,
                                       base.step - base.exposed, base.step),
    }  # fmt: skip
    product = math.prod(row.values())
    efficiency = share * base.step / now.step
    return {**row, "product": product, "efficiency": efficiency, "residual": efficiency / product}


def ratio(part: float, whole: float, base_part: float, base_whole: float) -> float:
    """Return (part/whole) / (base_part/base_whole)."""
    return part / whole / (base_part / base_whole)


def fraction_table(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return a row per curve and number of ranks with :data:`FRACTION_COLUMNS`."""
    unsynchronised = {
        (curve.head["study"], curve.head["group"]): curve.cells
        for curve in curves
        if curve.head["backend"] == "none"
    }
    rows = []
    for curve in curves:
        head, cells = curve.head, curve.cells
        free: Mapping[int, Cell] = {}
        if head["backend"] != "none":
            free = unsynchronised.get((head["study"], head["group"]), {})
        known = {ranks: parts(cell, free.get(ranks)) for ranks, cell in cells.items()}
        timed = {ranks: part for ranks, part in known.items() if part is not None}
        for ranks, now in timed.items():
            base = min(timed)
            growth = 1.0 if head["mode"] == "strong" else work_ratio(cells[base], cells[ranks])
            row = {
                "ranks": ranks,
                "base_ranks": base,
                "step_seconds": now.step,
                "compute_seconds": now.max_compute,
                "data_seconds": now.data,
                "exposed_seconds": now.exposed,
                "exposed_from": now.exposed_from,
            }
            rows.append(head | row | factors(base, timed[base], ranks, now, growth))
    return pd.DataFrame(rows, columns=list(FRACTION_COLUMNS))
