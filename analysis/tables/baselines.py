"""What a job measured of its machine before training, beside what its steps took.

Within one job t(n) = A + B n is fitted to the allreduces; A and B divided by the ring's factors
2(p − 1) and 2(p − 1)/p are its α and β. A gradient of n bytes then costs A + B n when it is
averaged at once after the backward pass: what the steps show less than that, overlap has hidden.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize

from analysis.tables.curves import Cell, Curve

Array = npt.NDArray[Any]

BASELINE_COLUMNS = (
    "study", "label", "backend", "ranks", "runs", "allreduce_latency_seconds",
    "allreduce_seconds_per_byte", "allreduce_bytes_per_second", "gradient_bytes",
    "allreduce_seconds", "exposed_seconds", "batch_bytes", "read_first_bytes_per_second",
    "read_again_bytes_per_second", "read_seconds", "data_seconds", "write_bytes_per_second",
)  # fmt: skip


def message_line(runs: pd.DataFrame) -> tuple[float, float]:
    """Return A and B of t = A + B n, both ≥ 0, with the smallest relative squared error.

    Fitted to the median of each size, so that one slow call moves nothing. NaN with fewer than
    two sizes.

    Parameters
    ----------
    runs
        ``bytes`` and ``seconds``, a row per allreduce of one number of ranks.
    """
    middle = runs[runs["seconds"] > 0].groupby("bytes")["seconds"].median()
    if len(middle) < 2:
        return math.nan, math.nan
    sizes, seconds = middle.index.to_numpy(dtype=float), middle.to_numpy(dtype=float)
    # in units of the largest message, for columns of like size
    scale = sizes.max()
    columns = np.stack([1 / seconds, sizes / scale / seconds], axis=1)
    (intercept, slope), _ = optimize.nnls(columns, np.ones(len(sizes)))
    return float(intercept), float(slope / scale)


def averaging_seconds(cell: Cell) -> float:
    """Return the time of one allreduce of the gradient, by the line fitted in the same jobs."""
    intercept, slope = message_line(allreduces(cell))
    return intercept + slope * gradient_bytes(cell)


def allreduces(cell: Cell) -> pd.DataFrame:
    """Return the allreduces timed in the runs of a cell: ``bytes`` and ``seconds``."""
    tables = [training.allreduce for training in cell.trainings if len(training.allreduce)]
    return pd.concat(tables) if tables else pd.DataFrame({"bytes": [], "seconds": []}, dtype=float)


def gradient_bytes(cell: Cell) -> float:
    """Return the size of the gradient, NaN where no run recorded it."""
    return middle_of([training.gradient_bytes for training in cell.trainings])


def middle_of(values: Any) -> float:
    """Return the median of the finite values, NaN without any."""
    kept = np.asarray(values, dtype=float)
    kept = kept[np.isfinite(kept)]
    return float(np.median(kept)) if len(kept) else math.nan


def baseline_table(curves: list[Curve], fractions: pd.DataFrame) -> pd.DataFrame:
    """Return a row per curve and number of ranks with :data:`BASELINE_COLUMNS`.

    Parameters
    ----------
    curves
        The runs.
    fractions
        What was measured of the same steps (:mod:`analysis.tables.fractions`): ``exposed_seconds``
        and ``data_seconds`` go beside what the baselines predict.
    """
    keys = ["study", "group", "backend", "ranks"]
    measured = {
        tuple(row[key] for key in keys): row for row in fractions.to_dict("records")
    }  # fmt: skip
    rows = []
    for curve in curves:
        for ranks, cell in curve.cells.items():
            row = baseline_row(ranks, cell)
            if not row:
                continue
            head = {**curve.head, "ranks": ranks}
            step = measured.get(tuple(head[key] for key in keys), {})
            row |= {name: step.get(name, math.nan) for name in ("exposed_seconds", "data_seconds")}
            rows.append(head | row)
    return pd.DataFrame(rows, columns=list(BASELINE_COLUMNS))


def baseline_row(ranks: int, cell: Cell) -> dict[str, Any]:
    """Return what the runs of a cell measured, empty where they measured nothing."""
    runs = [training for training in cell.trainings if training.batch_bytes > 0]
    messages = allreduces(cell)
    if not runs and messages.empty:
        return {}
    intercept, slope = message_line(messages)
    hops = 2 * (ranks - 1)
    latency = intercept / hops if hops else math.nan
    per_byte = slope * ranks / hops if hops else math.nan
    batch = middle_of([training.batch_bytes for training in runs])
    again = middle_of([training.read_rate[1] for training in runs])
    return {
        "runs": len(runs),
        "allreduce_latency_seconds": latency,
        "allreduce_seconds_per_byte": per_byte,
        "allreduce_bytes_per_second": 1 / per_byte if per_byte > 0 else math.nan,
        "gradient_bytes": gradient_bytes(cell),
        "allreduce_seconds": averaging_seconds(cell),
        "batch_bytes": batch,
        "read_first_bytes_per_second": middle_of([training.read_rate[0] for training in runs]),
        "read_again_bytes_per_second": again,
        "read_seconds": batch / again,
        "write_bytes_per_second": middle_of([training.write_rate for training in runs]),
    }
