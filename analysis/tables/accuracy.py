"""Accuracy tables: how long forecasts stay valid, and by how much they beat trivial ones."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.records.collect import Collection
from analysis.records.provenance import place
from analysis.records.series import Forecasts, read_forecasts
from analysis.statistics.intervals import mean_interval
from analysis.tables.climate import climate_errors
from analysis.tables.curves import MAX_SERIES

Array = npt.NDArray[Any]

NORMAL_95 = 1.96

LEAD_TIMES = (0.25, 0.5, 1.0, 2.0)
"""Lead times in Lyapunov times at which the error is tabulated."""

RATIO_TIMES = (0.5, 1.0)
"""Lead times in Lyapunov times at which the forecast is set against trivial ones."""

ACCURACY_COLUMNS = (
    "study",
    "run",
    "kind",
    "state",
    "reason",
    "system",
    "parameters",
    "model",
    "method",
    "variant",
    "ranks",
    "backend",
    "seed",
    "vpt_mean",
    "vpt_low",
    "vpt_high",
    "vpt_median",
    "vpt_standard_error",
    "vpt_censored_share",
    "n",
    "interval_from",
    "vpt_persistence",
    "vpt_climatology",
    "vpt_gain_persistence",
    "vpt_gain_climatology",
    *(
        f"nrmse_ratio_{name}_{time:g}"
        for name in ("persistence", "climatology")
        for time in RATIO_TIMES
    ),
    *(f"nrmse_{time:g}" for time in LEAD_TIMES),
    "climate_mean_error",
    "climate_std_error",
    "spectrum_error",
    "lyapunov_exponent",
    "lyapunov_exponent_model",
    "lyapunov_exponent_model_error",
    "kaplan_yorke",
    "kaplan_yorke_model",
    "final_loss",
    "validation_loss",
    "training_seconds",
    "time_to_target_seconds",
    "samples_to_target",
    "node_hours_to_target",
    "energy_to_target_joules",
    "node_hours",
    "energy_joules",
    "peak_memory_bytes",
    "parameters_count",
)

FROM_METRICS = {
    "vpt_mean": "vpt_mean",
    "vpt_median": "vpt_median",
    "vpt_standard_error": "vpt_standard_error",
    "vpt_censored_share": "vpt_censored_share",
    "vpt_persistence": "vpt_persistence",
    "vpt_climatology": "vpt_climatology",
    **{f"nrmse_{time:g}": f"nrmse_{time:g}" for time in LEAD_TIMES},
    **{
        name: name
        for name in (
            "final_loss",
            "validation_loss",
            "training_seconds",
            "energy_joules",
            "peak_memory_bytes",
        )
    },
    "parameters_count": "parameters",
    "lyapunov_exponent_model": "model_lyapunov_exponent",
    "lyapunov_exponent_model_error": "model_lyapunov_standard_error",
    "kaplan_yorke_model": "model_kaplan_yorke_dimension",
}
"""Column → metric of the record it is taken from."""


def accuracy_table(collection: Collection) -> pd.DataFrame:
    """Return one row per run with :data:`ACCURACY_COLUMNS`; unfinished runs keep their row."""
    frame = collection.frame[collection.frame["kind"] != "study"]
    with_forecasts = len(frame) <= MAX_SERIES
    return pd.DataFrame(
        [accuracy_row(row, with_forecasts) for row in frame.to_dict("records")],
        columns=list(ACCURACY_COLUMNS),
    )


def accuracy_row(record: dict[Any, Any], with_forecasts: bool = True) -> dict[str, Any]:
    """Return the row of one run.

    The interval of the mean VPT is resampled from the forecasts where they are read, else it is
    ±1.96 recorded standard errors, as ``interval_from`` says.
    """
    row: dict[str, Any] = {name: record.get(name, math.nan) for name in ACCURACY_COLUMNS}
    for column, metric in FROM_METRICS.items():
        row[column] = record.get(f"metric.{metric}", math.nan)
    if record["state"] != "done":
        return row
    reach = NORMAL_95 * row["vpt_standard_error"]
    row |= {"vpt_low": row["vpt_mean"] - reach, "vpt_high": row["vpt_mean"] + reach}
    row |= {"interval_from": "standard error" if math.isfinite(reach) else ""}
    row["n"] = record.get("initial_conditions", math.nan)
    if with_forecasts:
        row["node_hours"] = row["training_seconds"] * place(str(record["path"]))[0] / 3600
    forecasts = read_forecasts(str(record["path"]))[0] if with_forecasts else None
    if forecasts is not None:
        row |= from_forecasts(forecasts)
    for name in ("persistence", "climatology"):
        row[f"vpt_gain_{name}"] = row["vpt_mean"] - row[f"vpt_{name}"]
    return row


def from_forecasts(forecasts: Forecasts) -> dict[str, Any]:
    """Return what the forecasts of one run say beyond the record's metrics."""
    row: dict[str, Any] = {}
    if len(forecasts.vpt):
        interval = mean_interval(forecasts.vpt)
        row |= {
            "vpt_mean": interval.value,
            "vpt_low": interval.low,
            "vpt_high": interval.high,
            "vpt_median": float(np.median(forecasts.vpt)),
            "n": interval.n,
            "interval_from": "bootstrap",
        }
        if interval.n > 1:
            deviation = float(np.std(forecasts.vpt, ddof=1))
            row["vpt_standard_error"] = deviation / math.sqrt(interval.n)
    if len(forecasts.censored):
        row["vpt_censored_share"] = float(np.mean(forecasts.censored))
    row |= climate_errors(forecasts.truth, forecasts.forecast)
    error = mean_error(forecasts.nrmse)
    for lead in RATIO_TIMES:
        for name, trivial in (
            ("persistence", forecasts.persistence),
            ("climatology", forecasts.climatology),
        ):
            row[f"nrmse_ratio_{name}_{lead:g}"] = at_lead_time(
                forecasts.time, error, lead
            ) / at_lead_time(forecasts.time, trivial, lead)
    return row


def mean_error(nrmse: Array) -> Array:
    """Return the mean over initial conditions, NaN from where one forecast has exploded."""
    with np.errstate(invalid="ignore"):
        mean = nrmse.mean(axis=0)
    return np.where(np.isfinite(mean), mean, np.nan)


def at_lead_time(time: Array, error: Array, lead: float) -> float:
    """Return an error curve at a lead time (NaN outside what was forecast)."""
    if len(error) != len(time) or len(time) == 0 or not time[0] <= lead <= time[-1]:
        # The first sample after the warm-up may lie later than the lead time asked for.
        return math.nan
    return float(np.interp(lead, time, error))
