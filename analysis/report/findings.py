"""Everything that can be said about some runs, computed once: all tables of a report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.records.collect import Collection, collect
from analysis.records.lyapunov_spectra import SystemSpectrum, spectrum_of
from analysis.records.timeline import attempt_table
from analysis.statistics.fitting import Fit
from analysis.tables.accuracy import accuracy_table
from analysis.tables.baselines import baseline_table
from analysis.tables.curves import MAX_SERIES, Curve, raw_points, read_curves
from analysis.tables.fits import (
    CurveFits,
    allreduce_runs,
    fit_allreduce,
    fit_curves,
    fits_table,
    projections,
)
from analysis.tables.fractions import fraction_table
from analysis.tables.quality import COSTS, quality_table, runs_to_target
from analysis.tables.ranking import method_ranking, pareto_front, score_correlations
from analysis.tables.scaling import scaling_table
from analysis.tables.timings import timing_table
from analysis.tables.variants import with_variants
from analysis.tables.verdicts import DEFAULT_MARGIN, Pair, judge


@dataclass(frozen=True)
class Findings:
    """The runs and all tables made of them.

    Attributes
    ----------
    collection, curves
        The runs as rows, and as scaling curves with their series.
    fits, allreduce_fits
        Laws fitted to the curves and to the allreduces timed inside the runs.
    project
        Number of ranks the laws are asked to project to, or None.
    spectra
        Lyapunov spectra of the systems, as far as they were given.
    accuracy, scaling, points, fit_rows, projected, fractions, baselines, quality, to_target,
    timings, ranking, correlations, back_ends, attempts, allreduce
        The tables.
    """

    collection: Collection
    curves: list[Curve]
    fits: list[CurveFits]
    allreduce_fits: dict[str, list[Fit]]
    project: int | None
    spectra: list[SystemSpectrum]
    accuracy: pd.DataFrame
    scaling: pd.DataFrame
    points: pd.DataFrame
    fit_rows: pd.DataFrame
    projected: pd.DataFrame
    fractions: pd.DataFrame
    baselines: pd.DataFrame
    quality: pd.DataFrame
    to_target: pd.DataFrame
    timings: pd.DataFrame
    ranking: pd.DataFrame
    correlations: pd.DataFrame
    back_ends: pd.DataFrame
    attempts: pd.DataFrame
    allreduce: pd.DataFrame


def analyse(
    paths: Sequence[Path | str],
    project: int | None = None,
    spectra: Sequence[SystemSpectrum] = (),
) -> Findings:
    """Read the runs under ``paths`` and compute every table.

    Parameters
    ----------
    paths
        Run directories, studies or folders that hold runs.
    project
        Number of ranks the laws are projected to.
    spectra
        Lyapunov spectra of the systems.

    Raises
    ------
    InputError
        A path does not exist.
    """
    collection = with_variants(collect(paths))
    curves = read_curves(collection)
    fits = fit_curves(curves)
    allreduce = allreduce_runs(curves)
    allreduce_fits = fit_allreduce(allreduce)
    accuracy = accuracy_table(collection)
    accuracy["on_front"] = on_front(accuracy)
    accuracy["kaplan_yorke"] = system_dimensions(accuracy, spectra)
    to_target = runs_to_target(curves, collection.studies)
    add_costs(accuracy, collection.frame, to_target)
    scaling, fractions = scaling_table(curves), fraction_table(curves)
    return Findings(
        collection=collection,
        curves=curves,
        fits=fits,
        allreduce_fits=allreduce_fits,
        project=project,
        spectra=list(spectra),
        accuracy=accuracy,
        scaling=scaling,
        points=raw_points(curves),
        fit_rows=fits_table(fits, allreduce_fits),
        projected=projections(fits, project) if project else projections([], 0),
        fractions=fractions,
        baselines=baseline_table(curves, fractions),
        quality=quality_table(curves, to_target, collection.studies),
        to_target=to_target,
        timings=timing_table(curves),
        ranking=method_ranking(accuracy),
        correlations=score_correlations(collection.frame),
        back_ends=back_end_table(curves),
        attempts=attempt_table(collection.frame.head(MAX_SERIES)),
        allreduce=allreduce,
    )


def system_dimensions(accuracy: pd.DataFrame, spectra: Sequence[SystemSpectrum]) -> list[float]:
    """Return the Kaplan–Yorke dimension of each run's system, NaN where it is not known."""
    pairs = zip(accuracy["system"], accuracy["parameters"], strict=True)
    found = [spectrum_of(spectra, *pair) if spectra else None for pair in pairs]
    return [math.nan if spectrum is None else spectrum.dimension for spectrum in found]


def add_costs(accuracy: pd.DataFrame, frame: pd.DataFrame, to_target: pd.DataFrame) -> None:
    """Enter what each run took to its target into the table of runs."""
    known = to_target.drop_duplicates("path").set_index("path")
    paths = frame.loc[frame["kind"] != "study", "path"].astype(str)
    for name in COSTS:
        accuracy[name] = paths.map(known[name]).to_numpy(dtype=float)


def on_front(accuracy: pd.DataFrame) -> pd.Series:
    """Return which runs no other run of the same system beats in training time and skill."""
    front = pd.Series(data=False, index=accuracy.index)
    for _, group in accuracy[accuracy["state"] == "done"].groupby("system"):
        best = pareto_front(group["training_seconds"], group["vpt_mean"])
        front.loc[group.index] = best
    return front


def back_end_table(curves: Sequence[Curve], margin: float = DEFAULT_MARGIN) -> pd.DataFrame:
    """Return every back end against the first of its group, at every number of ranks both ran."""
    groups: dict[tuple[Any, ...], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.head["study"], curve.head["group"]), []).append(curve)
    pairs, labels = [], []
    for first, *others in groups.values():
        for other in others:
            for ranks, cell in other.cells.items():
                base = first.cells.get(ranks)
                if base is None or not base.timings or not cell.timings:
                    continue
                head = {**other.head, "ranks": ranks}
                allocations = (base.allocations, cell.allocations)
                pairs.append(Pair(head, base.timings, cell.timings, allocations))
                against = f"{other.head['backend']} / {first.head['backend']}"
                labels.append(f"{against}, {ranks} rank{'s' if ranks > 1 else ''}")
    table = judge(pairs, margin)
    return table.assign(label=labels if labels else np.empty(0, dtype=str))
