"""Which pictures a report shows: the best run of each system, and curves that belong together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import plots
from analysis.plots.style import Picture, file_name
from analysis.records.lyapunov_spectra import SystemSpectrum, spectrum_of
from analysis.records.series import Forecasts, Training, read_forecasts, read_training
from analysis.records.timeline import spans
from analysis.report.findings import Findings
from analysis.report.labels import distinct, labels, systems
from analysis.tables.climate import LEAST_SAMPLES, spatial_spectrum
from analysis.tables.fits import CurveFits, law_curves
from analysis.tables.ranking import pareto_front

MAX_CURVES = 6
"""Curves in one picture; more cannot be told apart."""

MAX_ROWS = 30
"""Rows of a forest and jobs of a Gantt chart; more would be thinner than their text."""

MAX_POINTS, MAX_LABELS = 500, 8
"""Runs and kinds of runs drawn one by one in skill against cost."""

MAX_SEARCHED = 200
"""Runs of a system whose series are looked for, the best first, until enough are found."""

MAX_GROUPS = 3
"""Scaling curves that get pictures of their own."""


def forecast_pictures(findings: Findings) -> list[Picture]:
    """Return, per system, the best run over space and time, errors, spectra and attractors."""
    pictures: list[Picture] = []
    for system, group in systems(findings):
        read: list[tuple[dict[Any, Any], Forecasts]] = []
        for record in distinct(group).head(MAX_SEARCHED).to_dict("records"):
            forecasts, _ = read_forecasts(str(record["path"]))
            if forecasts is not None:
                read.append((record, forecasts))
            if len(read) == MAX_CURVES:
                break
        if read:
            names = labels(pd.DataFrame([record for record, _ in read]))
            found = dict(zip(names, (forecasts for _, forecasts in read), strict=True))
            pictures += [*example_pictures(system, found), error_picture(system, found)]
            pictures += climate_pictures(system, found)
            best = read[0][0]
            truth = spectrum_of(findings.spectra, best["system"], best["parameters"])
            pictures += exponent_picture(system, truth, found)
    return pictures


def exponent_picture(
    system: str, truth: SystemSpectrum | None, found: Mapping[str, Forecasts]
) -> list[Picture]:
    """Return the Lyapunov spectra of the models that measured theirs, and of the system."""
    spectra = {name: f.exponents for name, f in found.items() if len(f.exponents)}
    if not spectra:
        return []
    known = {} if truth is None else {system: truth.exponents}
    whose = "system and models" if known else "models"
    return [
        plots.lyapunov_spectra(
            known | spectra, name=file_name(f"lyapunov_{system}"),
            title=f"{system}: Lyapunov exponents of {whose}",
        )
    ]  # fmt: skip


def example_pictures(system: str, found: Mapping[str, Forecasts]) -> list[Picture]:
    """Return the space-time picture of the first example of the best run."""
    label, best = next(iter(found.items()))
    if not best.truth.size:
        return []
    return [
        plots.space_time(
            best.truth[0], best.forecast[0], time=best.time[: best.truth.shape[1]],
            vpt=float(best.vpt[0]) if len(best.vpt) else None,
            name=file_name(f"space_time_{system}"),
            title=f"{system}: truth, forecast and error ({label})",
        )
    ]  # fmt: skip


def error_picture(system: str, found: Mapping[str, Forecasts]) -> Picture:
    """Return the errors over lead time with those of the trivial forecasts."""
    best = next(iter(found.values()))
    references = {
        name: (best.time, values)
        for name, values in (("persistence", best.persistence), ("climatology", best.climatology))
        if len(values) == len(best.time)
    }
    return plots.nrmse_over_time(
        {name: (forecasts.time, forecasts.nrmse) for name, forecasts in found.items()},
        references=references, threshold=best.threshold, name=file_name(f"nrmse_{system}"),
        title=f"{system}: forecast error over lead time",
    )  # fmt: skip


def climate_pictures(system: str, found: Mapping[str, Forecasts]) -> list[Picture]:
    """Return spectra and attractors of truth and forecast examples."""
    label, best = next(iter(found.items()))
    if not best.truth.size or best.truth.shape[-1] < 4:
        return []
    forecast = best.forecast[np.isfinite(best.forecast).all(axis=-1)]
    if len(forecast) < LEAST_SAMPLES:
        return []
    trajectories = {"truth": best.truth.reshape(-1, best.truth.shape[-1]), "forecast": forecast}
    one = {"truth": best.truth[0], "forecast": best.forecast[0]}
    return [
        plots.spectra(
            {name: spatial_spectrum(states) for name, states in trajectories.items()},
            name=file_name(f"spectra_{system}"),
            title=f"{system}: spatial power spectrum ({label})",
        ),
        plots.attractors(
            one, name=file_name(f"attractors_{system}"),
            title=f"{system}: attractor, truth and forecast ({label})",
        ),
    ]  # fmt: skip


def skill_pictures(findings: Findings) -> list[Picture]:
    """Return skill against cost of each system with several scored runs."""
    pictures = []
    accuracy = findings.accuracy[findings.accuracy["state"] == "done"]
    for system, group in accuracy.groupby("system", sort=True):
        scored = group.dropna(subset=["vpt_mean", "training_seconds"])
        if len(scored) < 2:
            continue
        kind = scored["model"] + " " + scored["method"] + " " + scored["variant"]
        named = scored.assign(label=kind.str.strip())
        title = f"{system}: forecast skill against training time"
        if len(named) > MAX_POINTS or named["label"].nunique() > MAX_LABELS:
            named, title = typical_runs(named), f"{title} (medians of the best kinds of runs)"
        pictures.append(
            plots.skill_and_cost(
                named, name=file_name(f"skill_and_cost_{system}"), title=title
            )
        )  # fmt: skip
    return pictures


def typical_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per kind of run, with medians and quartiles; the best kinds only."""
    skill = runs.groupby("label", sort=False)["vpt_mean"]
    table = pd.DataFrame({
        "vpt_mean": skill.median(), "vpt_low": skill.quantile(0.25),
        "vpt_high": skill.quantile(0.75), "n": skill.size(),
        "training_seconds": runs.groupby("label", sort=False)["training_seconds"].median(),
    }).reset_index()  # fmt: skip
    table["on_front"] = pareto_front(table["training_seconds"], table["vpt_mean"])
    return table.sort_values(["on_front", "vpt_mean"], ascending=False).head(MAX_LABELS)


def scaling_pictures(findings: Findings) -> list[Picture]:
    """Return time and efficiency against ranks, and what explains them."""
    measured = findings.scaling[findings.scaling["step_seconds"].notna()]
    if measured.empty:
        return []
    keys = ["study", "group", "backend"]
    curves = measured[keys].drop_duplicates()
    drawn = curves.head(MAX_CURVES)
    title = "Scaling"
    if len(drawn) < len(curves):
        title += f" (the first {len(drawn)} of {len(curves)} curves)"
    kept, points = (rows.merge(drawn, on=keys) for rows in (measured, findings.points))
    laws = None
    if len(findings.fits) == 1:  # bands of several curves over each other cannot be read
        laws = law_curves(findings.fits[0], findings.project)
    pictures = [plots.scaling(kept, points, laws, title=title)]
    pictures += [picture for found in findings.fits[:MAX_GROUPS] for picture in fit_pictures(found)]
    for place, (_, rows) in enumerate(findings.fractions.groupby(keys, sort=False, dropna=False)):
        if rows["ranks"].nunique() > 1 and place < MAX_GROUPS:
            what = f"{rows['label'].iloc[0]}, {rows['backend'].iloc[0]}"
            pictures.append(
                plots.fractions(rows, name=file_name(f"fractions_{place}_{what}"),
                                title=f"{what}: where the time of a step goes")
            )  # fmt: skip
    for place, (_, rows) in enumerate(findings.quality.groupby(keys, sort=False, dropna=False)):
        if rows["e_tts"].notna().sum() > 1 and place < MAX_GROUPS:
            pictures.append(plots.time_to_quality(rows, name=file_name(f"time_to_quality_{place}")))
    if len(findings.back_ends):
        pictures.append(forest_picture(findings.back_ends))
    for backend, timed in findings.allreduce.groupby("backend", sort=False):
        law = next(iter(findings.allreduce_fits.get(str(backend), [])), None)
        pictures.append(
            plots.allreduce(timed, law, name=file_name(f"allreduce_{backend}"),
                            title=f"{backend}: allreduce in the jobs, before their first step")
        )  # fmt: skip
    return pictures


def forest_picture(table: pd.DataFrame) -> Picture:
    """Return back ends against each other, those that differ most first where they are many."""
    if len(table) <= MAX_ROWS:
        return plots.forest(table)
    distance = np.abs(np.log(table["ratio"])).sort_values(ascending=False, kind="stable")
    title = f"Back ends against each other (the {MAX_ROWS} of {len(table)} that differ most)"
    return plots.forest(table.loc[distance.index[:MAX_ROWS]], title=title)


def fit_pictures(found: CurveFits) -> list[Picture]:
    """Return the residuals of the laws shown for one curve."""
    name = file_name(f"residuals_{found.head['group']}_{found.head['backend']}")
    return [plots.residuals(found.shown, name=name)] if len(found.shown) else []


def run_pictures(findings: Findings) -> list[Picture]:
    """Return loss curves, the ranks of the widest run, and the jobs over time."""
    pictures: list[Picture] = []
    for system, group in systems(findings):
        pictures += loss_picture(system, group)
    widest = widest_run(findings)
    if widest is not None:
        name, seconds = widest
        pictures.append(plots.rank_heat_map(seconds, title=f"Step time of every rank ({name})"))
    if len(findings.attempts) > 1:
        shown, title = findings.attempts.head(MAX_ROWS), "Jobs over time"
        if len(shown) < len(findings.attempts):
            title += f" (the first {len(shown)} of {len(findings.attempts)})"
        pictures.append(plots.gantt(spans(shown), title=title))
    return pictures


def widest_run(findings: Findings) -> tuple[str, Any] | None:
    """Return name and (step, rank) times of the run with the most ranks, if it has several."""
    runs = [
        (name, training.after_warm_up(training.step_seconds))
        for curve in findings.curves
        for cell in curve.cells.values()
        for name, training in zip(cell.names, cell.trainings, strict=True)
        if training.step_seconds.ndim == 2 and training.step_seconds.shape[1] > 1
    ]
    kept = [(name, seconds) for name, seconds in runs if len(seconds) > 1]
    return max(kept, key=lambda run: run[1].shape[1]) if kept else None


def loss_picture(system: str, group: pd.DataFrame) -> list[Picture]:
    """Return the loss curves of a system's runs over each other."""
    read: list[tuple[dict[Any, Any], Training]] = []
    for record in distinct(group[group["kind"] == "train"]).head(MAX_SEARCHED).to_dict("records"):
        training, _ = read_training(str(record["path"]))
        if training is not None and len(training.loss):
            read.append((record, training))
        if len(read) == MAX_CURVES:
            break
    if not read:
        return []
    names = labels(pd.DataFrame([record for record, _ in read]))
    found = dict(zip(names, (training for _, training in read), strict=True))
    return [
        plots.loss_curves(
            {name: training.loss for name, training in found.items()},
            validation={
                name: (training.validation_step, training.validation_loss)
                for name, training in found.items()
                if 0 < len(training.validation_loss) == len(training.validation_step)
            },
            name=file_name(f"loss_{system}"), title=f"{system}: training loss",
        )
    ]  # fmt: skip
