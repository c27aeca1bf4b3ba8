"""Runs that share a picture: those of a system, one of each kind, and a short label for each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.findings import Findings

LABEL_COLUMNS = ("model", "method", "variant", "backend", "ranks", "seed")


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
        return [" ".join(words(row, ["model", "method", "variant"])) or str(row["run"])]
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


def systems(findings: Findings) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the finished runs of each system, the best scored first."""
    for system, group in findings.collection.done.groupby("system", sort=True):
        if "metric.vpt_mean" in group:
            group = group.sort_values("metric.vpt_mean", ascending=False, kind="stable")
        yield str(system), group
