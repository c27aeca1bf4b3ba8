"""Which pictures a report shows: the best run of each system, and curves that belong together."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis import plots
from analysis.collect import Collection
from analysis.plots.style import Picture, file_name
from analysis.series import Forecasts, Training, read_forecasts, read_training

MAX_CURVES = 6
"""Curves in one picture; more cannot be told apart."""

LABEL_COLUMNS = ("model", "method", "backend", "ranks", "seed")


def gallery(collection: Collection, scaling: pd.DataFrame, points: pd.DataFrame) -> list[Picture]:
    """Return the pictures of a report; nothing is drawn from nothing."""
    pictures: list[Picture] = []
    done = collection.done
    for system, group in done.groupby("system", sort=True):
        pictures += forecast_pictures(str(system), group)
        pictures += loss_picture(str(system), group)
    if scaling["step_seconds"].notna().any():
        pictures.append(plots.scaling(scaling, points))
    return pictures


def distinct(group: pd.DataFrame) -> pd.DataFrame:
    """Return one run of each kind: repeats of a run would only draw the same curve again."""
    first = group.drop_duplicates(subset=[*LABEL_COLUMNS, "config_hash"])
    return first if len(first) > 1 else group


def labels(group: pd.DataFrame) -> list[str]:
    """Return a short label per run: only what differs between them, else the run's name."""
    differing = [name for name in LABEL_COLUMNS if group[name].nunique(dropna=False) > 1]
    made = [" ".join(words(row, differing)) for row in group.to_dict("records")]
    if len(group) == 1:
        row = group.iloc[0]
        return [" ".join(words(row, ["model", "method"])) or str(row["run"])]
    if len(set(made)) == len(made):
        return made
    return [f"{label} {run}".strip() for label, run in zip(made, group["run"], strict=True)]


def words(row: Any, names: list[str]) -> Iterator[str]:
    """Yield the values of some columns as words of a label."""
    for name in names:
        value = row[name]
        if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
            continue
        if name == "ranks":
            yield f"{value:.0f} rank" + ("s" if value > 1 else "")
        else:
            yield f"seed {value:.0f}" if name == "seed" else str(value)


def forecast_pictures(system: str, group: pd.DataFrame) -> list[Picture]:
    """Return the space-time picture of the best run and the error of all over lead time."""
    if "metric.vpt_mean" in group:
        group = group.sort_values("metric.vpt_mean", ascending=False, kind="stable")
    read: list[tuple[dict[Any, Any], Forecasts]] = []
    for record in distinct(group).to_dict("records"):
        forecasts, _ = read_forecasts(str(record["path"]))
        if forecasts is not None:
            read.append((record, forecasts))
        if len(read) == MAX_CURVES:
            break
    if not read:
        return []
    names = labels(pd.DataFrame([record for record, _ in read]))
    best, best_label = read[0][1], names[0]
    pictures = []
    if best.truth.ndim == 3 and best.truth.size and best.truth.shape == best.forecast.shape:
        pictures.append(
            plots.space_time(
                best.truth[0],
                best.forecast[0],
                time=best.time[: best.truth.shape[1]],
                vpt=float(best.vpt[0]) if len(best.vpt) else None,
                name=file_name(f"space_time_{system}"),
                title=f"{system}: truth, forecast and error ({best_label})",
            )
        )
    references = {
        name: (best.time, values)
        for name, values in (("persistence", best.persistence), ("climatology", best.climatology))
        if len(values) == len(best.time)
    }
    curves = {name: (f.time, f.nrmse) for name, (_, f) in zip(names, read, strict=True)}
    pictures.append(
        plots.nrmse_over_time(
            curves,
            references=references,
            threshold=best.threshold,
            name=file_name(f"nrmse_{system}"),
            title=f"{system}: forecast error over lead time",
        )
    )
    return pictures


def loss_picture(system: str, group: pd.DataFrame) -> list[Picture]:
    """Return the loss curves of a system's runs over each other."""
    read: list[tuple[dict[Any, Any], Training]] = []
    for record in distinct(group[group["kind"] == "train"]).to_dict("records"):
        training, _ = read_training(str(record["path"]))
        if training is not None and len(training.loss):
            read.append((record, training))
        if len(read) == MAX_CURVES:
            break
    if not read:
        return []
    names = labels(pd.DataFrame([record for record, _ in read]))
    return [
        plots.loss_curves(
            {name: training.loss for name, (_, training) in zip(names, read, strict=True)},
            validation={
                name: (training.validation_step, training.validation_loss)
                for name, (_, training) in zip(names, read, strict=True)
                if 0 < len(training.validation_loss) == len(training.validation_step)
            },
            name=file_name(f"loss_{system}"),
            title=f"{system}: training loss",
        )
    ]
