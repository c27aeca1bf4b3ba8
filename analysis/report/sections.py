"""The sections of a report: which tables and pictures it shows, and the words between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.plots.style import Picture
from analysis.report.findings import Study
from analysis.report.formatting import Column, numeric, plain, ranged, whole
from analysis.report.pictures import (
    forecast_pictures,
    run_pictures,
    scaling_pictures,
    skill_pictures,
)
from analysis.tables.fits import MAX_CURVES

ACCURACY = (
    plain("run"), plain("system"), plain("model"), plain("method"), plain("variant", "settings"),
    plain("backend"), whole("ranks"),
    ranged("vpt", "VPT mean (95 % interval), Lyapunov times", "vpt_mean"),
    numeric("vpt_median", "VPT median"), numeric("vpt_censored_share", "censored share"),
    whole("n", "initial conditions"), numeric("vpt_persistence", "VPT of persistence"),
    numeric("vpt_climatology", "VPT of climatology"),
    numeric("nrmse_ratio_persistence_0.5", "error / persistence at 0.5"),
    numeric("nrmse_ratio_climatology_0.5", "error / climatology at 0.5"),
    numeric("nrmse_0.25", "NRMSE at 0.25"), numeric("nrmse_0.5", "NRMSE at 0.5"),
    numeric("nrmse_1", "NRMSE at 1"), numeric("nrmse_2", "NRMSE at 2"),
    numeric("spectrum_error", "spectrum error, log10"),
    numeric("lyapunov_exponent", "λ₁ of the system"),
    numeric("lyapunov_exponent_model", "λ₁ of the model"),
    numeric("kaplan_yorke", "Kaplan–Yorke, system"),
    numeric("kaplan_yorke_model", "Kaplan–Yorke, model"),
    numeric("training_seconds", "training, s"), numeric("node_hours"),
    numeric("time_to_target_seconds", "to the target, s"),
    numeric("samples_to_target", "samples to the target"),
    numeric("node_hours_to_target", "node hours to the target"),
    numeric("energy_to_target_joules", "energy to the target, J"),
    numeric("peak_memory_bytes", "peak memory, bytes"),
    whole("parameters_count", "parameters"),
)  # fmt: skip
RANKS = (
    plain("system"), plain("model"), plain("method"), plain("variant", "settings"),
    whole("n", "runs"),
    ranged("vpt", "VPT over runs (95 % interval)"), numeric("mean_rank"),
    numeric("p_value", "p against the best"), plain("verdict"),
    numeric("training_seconds", "training, s"), numeric("reached", "share that reached the target"),
    numeric("time_to_target_seconds", "to the target, s"),
    numeric("samples_to_target", "samples to the target"),
    numeric("peak_memory_bytes", "peak memory, bytes"),
)  # fmt: skip
CORRELATIONS = (
    plain("system"), plain("score"), ranged("rho", "Spearman ρ with VPT (95 % interval)"),
    whole("n", "runs"),
    numeric("p_value", "p"),
)  # fmt: skip
SCALING = (
    plain("label", "what"), plain("mode"), plain("backend"), whole("ranks"),
    ranged("step_seconds", "step time (95 % interval), s"), whole("n"),
    plain("interval_over", "n counts"), whole("base_ranks"), numeric("base_seconds", "base, s"),
    ranged("speed_up", "speed-up"), ranged("efficiency", "efficiency"),
    numeric("sequences_per_second", "sequences / s"), numeric("predicted_seconds", "predicted, s"),
    whole("nodes"), numeric("node_hours"), numeric("energy_joules", "energy, J"),
    whole("n_ok", "ok"), whole("n_failed", "failed"), whole("n_missing", "missing"),
)  # fmt: skip
FRACTIONS = (
    plain("label", "what"), plain("backend"), whole("ranks"), numeric("compute"),
    numeric("load_balance"), numeric("data_wait"), numeric("exposed_communication"),
    numeric("product"), numeric("efficiency"), numeric("residual"),
    numeric("exposed_seconds", "exposed, s"), plain("exposed_from", "exposed from"),
)  # fmt: skip
FITS = (
    plain("label", "what"), plain("backend"), plain("law"), plain("parameter"),
    ranged("value_", "value (95 % interval)", "value"),
    plain("not_identifiable", "not identifiable"), numeric("aicc", "AICc"),
    numeric("left_out_error", "left-out error"), whole("points"),
)  # fmt: skip
PROJECTION = (
    plain("label", "what"), plain("backend"), plain("law"), whole("ranks"),
    ranged("seconds_", "step time (95 % interval), s", "seconds"),
    whole("largest_measured", "largest measured"), plain("is_projection", "projection"),
)  # fmt: skip
BASELINES = (
    plain("label", "what"), plain("backend"), whole("ranks"), whole("runs"),
    numeric("allreduce_latency_seconds", "α, s"),
    numeric("allreduce_bytes_per_second", "1/β, bytes/s"),
    numeric("gradient_bytes", "gradient, bytes"),
    numeric("allreduce_seconds", "averaging it predicted, s"),
    numeric("exposed_seconds", "exposed measured, s"),
    numeric("batch_bytes", "batch, bytes"),
    numeric("read_first_bytes_per_second", "read first, bytes/s"),
    numeric("read_again_bytes_per_second", "read again, bytes/s"),
    numeric("read_seconds", "reading it predicted, s"),
    numeric("data_seconds", "data wait measured, s"),
    numeric("write_bytes_per_second", "write, bytes/s"),
)  # fmt: skip
QUALITY = (
    plain("label", "what"), plain("backend"), plain("target"), whole("ranks"),
    whole("base_ranks"), numeric("seconds_to_target", "time to target, s"),
    numeric("samples_to_target", "samples"), numeric("node_hours_to_target", "node hours"),
    numeric("energy_to_target_joules", "energy, J"),
    numeric("speed_up", "speed-up"), ranged("e_tts", "E_tts"), numeric("e_system", "E_sys"),
    numeric("e_algorithmic", "E_alg"), whole("n_reached", "reached"), whole("n_ok", "of"),
)  # fmt: skip
BACK_ENDS = (
    plain("label", "what"), whole("n_a", "runs, base"), whole("n_b", "runs"),
    ranged("ratio", "ratio (95 % interval)"), numeric("p_value", "p"), plain("verdict"),
)  # fmt: skip
TIMINGS = (
    plain("run"), plain("backend"), whole("ranks"), whole("steps"),
    whole("warm_up_steps", "warm-up"), whole("warm_up_detected", "warm-up detected"),
    numeric("seconds_all", "all, s"), numeric("seconds_timed", "timed, s"),
    numeric("median_seconds", "median, s"), numeric("p95_seconds", "p95, s"),
    numeric("p99_seconds", "p99, s"), numeric("max_seconds", "max, s"), whole("outliers"),
    numeric("drift"), numeric("autocorrelation"),
)  # fmt: skip
ATTEMPTS = (
    plain("run"), plain("state"), whole("ranks"), plain("site"), plain("job_id", "job"),
    plain("nodes"), numeric("queue_seconds", "queue, s"), numeric("launch_seconds", "launch, s"),
    numeric("init_seconds", "init, s"), numeric("run_seconds", "run, s"),
)  # fmt: skip
UNFINISHED = (plain("study"), plain("run"), plain("state"), plain("reason"))

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


def accuracy_section(study: Study) -> Section:
    """Return how accurate the forecasts are."""
    accuracy = study.accuracy
    scored = accuracy[(accuracy["state"] == "done") & accuracy["vpt_mean"].notna()]
    ranks = study.ranks if len(study.ranks) > study.ranks["system"].nunique() else study.ranks[:0]
    return Section(
        "Accuracy",
        "VPT, the valid prediction time, is how long a free-running forecast keeps its normalised "
        "error under the threshold, in Lyapunov times (1 / largest Lyapunov exponent). "
        "Persistence repeats the last state, climatology the mean; a ratio below 1 means the "
        "forecast has the smaller error.",
        [
            *table("accuracy", "Accuracy of the scored runs", accuracy, ACCURACY, scored),
            *table("methods", "Methods by skill; a method is worse when a permutation test over "
                   "runs says so (Holm, 5 %)", ranks, RANKS),
            *table("embedding_scores", "Embedding scores and skill", study.correlations,
                   CORRELATIONS),
        ],
        [*forecast_pictures(study), *skill_pictures(study)],
    )  # fmt: skip


def scaling_section(study: Study) -> Section:
    """Return how step times and efficiency follow the number of ranks."""
    shown = {(id(f), fit.law.name) for f in study.fits for fit in f.shown}
    laws = {name for _, name in shown}
    fits = study.fit_rows.assign(
        value__low=study.fit_rows["low"], value__high=study.fit_rows["high"]
    )
    projected = study.projected.assign(
        seconds__low=study.projected["low"], seconds__high=study.projected["high"],
        is_projection=study.projected["is_projection"].map({True: "yes", False: "no"}),
    )  # fmt: skip
    many = len(study.curves) > len(study.fits) == MAX_CURVES
    few = study.scaling["step_seconds"].notna().any() and not study.fits
    return Section(
        "Scaling",
        "Step time is the slowest rank's, after the warm-up; the median is given with its exact "
        "rank interval. Speed-up and efficiency are relative to the base in the row, the smallest "
        "number of ranks measured; their intervals come from resampling runs and blocks of steps. "
        "The product of its factors is the efficiency, up to the residual."
        + (" No law is fitted: that takes at least 4 different numbers of ranks." if few else "")
        + (f" Laws are fitted to the first {MAX_CURVES} curves." if many else ""),
        [
            *table("scaling", "Step time, speed-up and efficiency", study.scaling, SCALING),
            *table("fractions", "Factors of the efficiency", study.fractions, FRACTIONS),
            *table("baselines", "Measured by the same jobs before training: allreduce by ring "
                   "α and β, reading and writing; predictions beside measurements", study.baselines,
                   BASELINES),
            *table("fits", "Laws fitted to the step times: the best by AICc and the classical one",
                   fits, FITS, fits[fits["law"].isin(laws) | (fits["label"] == "allreduce")]),
            *table("projection", "Step times that the laws predict; a projection is no "
                   "measurement", projected, PROJECTION),
            *table("quality", "Time to the target: E_tts = E_sys · E_alg", study.quality, QUALITY),
            *table("back_ends", "Back ends against the first one, step times", study.back_ends,
                   BACK_ENDS),
        ],
        scaling_pictures(study),
    )  # fmt: skip


def runs_section(study: Study) -> Section:
    """Return how the runs went, step by step."""
    started = study.attempts[study.attempts["run_seconds"].notna()]
    return Section(
        "Runs",
        "No step is removed from a timing. The table counts outliers (Tukey), drift and dependence "
        "between steps. A detected warm-up longer than the one left out is a warning.",
        [
            *table("timings", "Steps of the finished runs", study.timings, TIMINGS),
            *table(
                "attempts", "Where the attempts ran, and how long they waited", started, ATTEMPTS
            ),
        ],
        run_pictures(study),
    )


def unfinished_section(study: Study) -> Section:
    """Return what is not done, with reasons."""
    frame = study.collection.frame
    rows = frame[frame["state"] != "done"]
    listed = rows[["study", "run", "state", "reason", "path"]]
    return Section(
        "What did not finish",
        "None of these enters a timing or a score.",
        table("unfinished", "Records that are not done", listed, UNFINISHED),
    )


def sections(study: Study) -> list[Section]:
    """Return the sections that have something to show."""
    made = (accuracy_section(study), scaling_section(study), runs_section(study),
            unfinished_section(study))  # fmt: skip
    return [section for section in made if section.tables or section.pictures]
