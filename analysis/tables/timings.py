"""How steady the steps of each run were: tails, warm-up, and flags. Nothing is removed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics import flags
from analysis.tables.curves import Curve

TIMING_COLUMNS = (
    "study", "label", "backend", "ranks", "run", "steps", "warm_up_steps", "warm_up_detected",
    "seconds_all", "seconds_timed", "median_seconds", "p95_seconds", "p99_seconds", "max_seconds",
    "outliers", "drift", "autocorrelation",
)  # fmt: skip


def timing_table(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return a row per finished run that kept its step times, with :data:`TIMING_COLUMNS`.

    ``warm_up_detected`` above ``warm_up_steps`` means that timed steps still belong to the
    warm-up. ``drift`` is the relative change over the run where there is a trend, and
    ``autocorrelation`` that of neighbouring steps where they depend on each other; 0 means none.
    """
    rows: list[dict[str, Any]] = []
    for curve in curves:
        for ranks, cell in curve.cells.items():
            for name, training in zip(cell.names, cell.trainings, strict=True):
                timed = training.timed
                if len(timed) == 0:
                    continue
                rows.append(
                    {
                        **{key: curve.head[key] for key in ("study", "label", "backend")},
                        "ranks": ranks,
                        "run": name,
                        "steps": len(training.slowest),
                        "warm_up_steps": len(training.slowest) - len(timed),
                        "warm_up_detected": flags.warm_up_length(training.slowest),
                        "seconds_all": float(training.slowest.sum()),
                        "seconds_timed": float(timed.sum()),
                        "median_seconds": float(np.median(timed)),
                        "p95_seconds": float(np.percentile(timed, 95)),
                        "p99_seconds": float(np.percentile(timed, 99)),
                        "max_seconds": float(timed.max()),
                        "outliers": flags.outliers(timed),
                        "drift": flags.drift(timed),
                        "autocorrelation": flags.correlated(timed),
                    }
                )
    return pd.DataFrame(rows, columns=list(TIMING_COLUMNS))
