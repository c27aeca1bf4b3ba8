"""The sections of a report: which tables and pictures it shows, and the words between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.plots.style import Picture
from analysis.report.columns import (
    ACCURACY,
    ATTEMPTS,
    BACK_ENDS,
    BASELINES,
    CORRELATIONS,
    FITS,
    FRACTIONS,
    METHODS,
    PROJECTION,
    QUALITY,
    SCALING,
    TIMINGS,
    UNFINISHED,
)
from analysis.report.findings import Findings
from analysis.report.formatting import Column
from analysis.report.pictures import (
    forecast_pictures,
    run_pictures,
    scaling_pictures,
    skill_pictures,
)
from analysis.tables.fits import MAX_CURVES

MAX_READER_ROWS = 200
"""Rows of a table on the page; the CSV beside it has them all."""


@dataclass(frozen=True)
class Table:
    """A table of the report: file name, caption, all columns, and those for the reader."""

    name: str
    caption: str
    frame: pd.DataFrame
    columns: Sequence[Column]
    shown: pd.DataFrame


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, tables and pictures, and the commands that made them."""

    heading: str
    text: str
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    commands: Sequence[str] = ()


def table(
    name: str,
    caption: str,
    frame: pd.DataFrame,
    columns: Sequence[Column],
    shown: pd.DataFrame | None = None,
) -> list[Table]:
    """Return a table in a list, an empty list when it has no rows to show."""
    shown = frame if shown is None else shown
    if frame.empty:
        return []
    if len(shown) > MAX_READER_ROWS:
        caption += f" (the first {MAX_READER_ROWS} of {len(shown)} rows; {name}.csv has all)"
    return [Table(name, caption, frame, columns, shown.head(MAX_READER_ROWS))]


def accuracy_section(findings: Findings) -> Section:
    """Return how accurate the forecasts are."""
    accuracy = findings.accuracy
    scored = accuracy[(accuracy["state"] == "done") & accuracy["vpt_mean"].notna()]
    methods = findings.ranking
    if len(methods) == methods["system"].nunique():
        methods = methods[:0]  # a single method per system is compared with nothing
    return Section(
        "Accuracy",
        "VPT, the valid prediction time, is how long a free-running forecast keeps its normalised "
        "error under the threshold, in Lyapunov times (1 / largest Lyapunov exponent). "
        "Persistence repeats the last state, climatology the mean; a ratio below 1 means the "
        "forecast has the smaller error.",
        [
            *table("accuracy", "Accuracy of the scored runs", accuracy, ACCURACY, scored),
            *table("methods", "Methods by skill; a method is worse when a permutation test over "
                   "runs says so (Holm, 5 %)", methods, METHODS),
            *table("embedding_scores", "Embedding scores and skill", findings.correlations,
                   CORRELATIONS),
        ],
        [*forecast_pictures(findings), *skill_pictures(findings)],
    )  # fmt: skip


def scaling_section(findings: Findings) -> Section:
    """Return how step times and efficiency follow the number of ranks."""
    shown = {(id(f), fit.law.name) for f in findings.fits for fit in f.shown}
    laws = {name for _, name in shown}
    fits = findings.fit_rows.assign(
        value__low=findings.fit_rows["low"], value__high=findings.fit_rows["high"]
    )
    projected = findings.projected.assign(
        seconds__low=findings.projected["low"], seconds__high=findings.projected["high"],
        is_projection=findings.projected["is_projection"].map({True: "yes", False: "no"}),
    )  # fmt: skip
    many = len(findings.curves) > len(findings.fits) == MAX_CURVES
    few = findings.scaling["step_seconds"].notna().any() and not findings.fits
    return Section(
        "Scaling",
        "Step time is the slowest rank's, after the warm-up; the median is given with its exact "
        "rank interval. Speed-up and efficiency are relative to the base in the row, the smallest "
        "number of ranks measured; their intervals come from resampling runs and blocks of steps. "
        "The product of its factors is the efficiency, up to the residual."
        + (" No law is fitted: that takes at least 4 different numbers of ranks." if few else "")
        + (f" Laws are fitted to the first {MAX_CURVES} curves." if many else ""),
        [
            *table("scaling", "Step time, speed-up and efficiency", findings.scaling, SCALING),
            *table("fractions", "Factors of the efficiency", findings.fractions, FRACTIONS),
            *table("baselines", "Measured by the same jobs before training: allreduce by ring "
                   "α and β, reading and writing; predictions beside measurements",
                   findings.baselines,
                   BASELINES),
            *table("fits", "Laws fitted to the step times: the best by AICc and the classical one",
                   fits, FITS, fits[fits["law"].isin(laws) | (fits["label"] == "allreduce")]),
            *table("projection", "Step times that the laws predict; a projection is no "
                   "measurement", projected, PROJECTION),
            *table("quality", "Time to the target: E_tts = E_sys · E_alg", findings.quality,
                   QUALITY),
            *table("back_ends", "Back ends against the first one, step times", findings.back_ends,
                   BACK_ENDS),
        ],
        scaling_pictures(findings),
    )  # fmt: skip


def runs_section(findings: Findings) -> Section:
    """Return how the runs went, step by step."""
    started = findings.attempts[findings.attempts["run_seconds"].notna()]
    return Section(
        "Runs",
        "No step is removed from a timing. The table counts outliers (Tukey), drift and dependence "
        "between steps. A detected warm-up longer than the one left out is a warning.",
        [
            *table("timings", "Steps of the finished runs", findings.timings, TIMINGS),
            *table(
                "attempts", "Where the attempts ran, and how long they waited", started, ATTEMPTS
            ),
        ],
        run_pictures(findings),
    )


def unfinished_section(findings: Findings) -> Section:
    """Return what is not done, with reasons."""
    frame = findings.collection.frame
    rows = frame[frame["state"] != "done"]
    listed = rows[["study", "run", "state", "reason", "path"]]
    return Section(
        "What did not finish",
        "None of these enters a timing or a score.",
        table("unfinished", "Records that are not done", listed, UNFINISHED),
    )


def sections(findings: Findings) -> list[Section]:
    """Return the sections that have something to show."""
    made = (accuracy_section(findings), scaling_section(findings), runs_section(findings),
            unfinished_section(findings))  # fmt: skip
    return [section for section in made if section.tables or section.pictures]
