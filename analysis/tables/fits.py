"""Scaling laws fitted to the measured curves, and what they say beyond what was measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.fitting import LEAST_POINTS, Fit, fit_all, fit_table
from analysis.statistics.laws import ALLREDUCE_LAWS, AMDAHL, GUSTAFSON, STRONG_LAWS, WEAK_LAWS
from analysis.tables.curves import Curve

MAX_CURVES = 8
"""Curves that are fitted; a page with more is a table to filter, not to read."""

FIT_COLUMNS = (
    "study", "group", "label", "mode", "backend", "law", "equation", "parameter", "value", "low",
    "high", "not_identifiable", "aicc", "left_out_error", "points",
)  # fmt: skip


@dataclass(frozen=True)
class CurveFits:
    """The laws fitted to one curve, the best first."""

    head: dict[str, Any]
    fits: list[Fit]

    @property
    def shown(self) -> list[Fit]:
        """The best law and the classical one of the mode, for pictures and tables."""
        classical = AMDAHL if self.head["mode"] == "strong" else GUSTAFSON
        usable = [f for f in self.fits if math.isfinite(f.left_out_error)]
        return [f for i, f in enumerate(usable) if i == 0 or f.law is classical]


def fit_curves(curves: Sequence[Curve]) -> list[CurveFits]:
    """Fit every curve with enough different numbers of ranks; the others are left out."""
    result: list[CurveFits] = []
    for curve in curves:
        runs = pd.DataFrame(
            [
                {"ranks": float(ranks), "seconds": float(median)}
                for ranks, cell in curve.cells.items()
                for median in cell.medians
            ],
            columns=["ranks", "seconds"],
        )
        if runs["ranks"].nunique() < LEAST_POINTS[2] or len(result) == MAX_CURVES:
            continue
        laws = STRONG_LAWS if curve.head["mode"] == "strong" else WEAK_LAWS
        fits = fit_all(laws, runs)
        if fits:
            result.append(CurveFits(curve.head, fits))
    return result


def fits_table(
    fits: Sequence[CurveFits], allreduce: Mapping[str, list[Fit]] | None = None
) -> pd.DataFrame:
    """Return every fit with :data:`FIT_COLUMNS`."""
    tables = [fit_table(found.fits).assign(**found.head) for found in fits]
    for backend, found in (allreduce or {}).items():
        tables.append(
            fit_table(found).assign(label="allreduce", mode="communication", backend=backend)
        )
    if not tables:
        return pd.DataFrame(columns=list(FIT_COLUMNS))
    return pd.concat(tables, ignore_index=True).reindex(columns=list(FIT_COLUMNS))


def law_curves(found: CurveFits, project: int | None = None) -> pd.DataFrame:
    """Return the shown laws on a fine grid of ranks, up to ``project`` if that is asked for."""
    tables = []
    for fitted in found.shown:
        low, high = fitted.points["ranks"].min(), fitted.points["ranks"].max()
        grid = np.geomspace(low, max(high, project or 0), 80)
        tables.append(fitted.predict(ranks=grid).assign(law=fitted.law.name))
    return pd.concat(tables, ignore_index=True)


def projections(fits: Sequence[CurveFits], project: int) -> pd.DataFrame:
    """Return what every shown law says at ``project`` ranks, with its interval.

    ``is_projection`` says that this is beyond twice the largest measured number of ranks.
    """
    tables = [
        fitted.predict(ranks=project).assign(
            law=fitted.law.name, largest_measured=fitted.largest["ranks"],
            identifiable=fitted.identifiable, **found.head,
        )
        for found in fits
        for fitted in found.shown
    ]  # fmt: skip
    columns = ["label", "backend", "law", "ranks", "seconds", "low", "high", "is_projection",
               "largest_measured", "identifiable"]  # fmt: skip
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)


def allreduce_runs(curves: Sequence[Curve]) -> pd.DataFrame:
    """Return the allreduces timed inside the runs: backend, ranks, bytes, seconds."""
    tables = [
        training.allreduce.assign(ranks=float(ranks), backend=str(curve.head["backend"]))
        for curve in curves
        for ranks, cell in curve.cells.items()
        for training in cell.trainings
        if ranks > 1 and len(training.allreduce)
    ]
    if not tables:
        return pd.DataFrame({"bytes": [], "seconds": [], "ranks": []}, dtype=float).assign(
            backend=pd.Series(dtype=str)
        )
    return pd.concat(tables, ignore_index=True)


def fit_allreduce(runs: pd.DataFrame) -> dict[str, list[Fit]]:
    """Return the allreduce laws of each back-end with measurements enough, the best first."""
    found: dict[str, list[Fit]] = {}
    for backend, timed in runs.groupby("backend", sort=False):
        if len(timed.groupby(["ranks", "bytes"])) >= LEAST_POINTS[2]:
            fits = [f for f in fit_all(ALLREDUCE_LAWS, timed) if math.isfinite(f.left_out_error)]
            if fits:
                found[str(backend)] = fits
    return found
