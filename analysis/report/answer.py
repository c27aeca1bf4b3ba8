"""The answer of a report: sentences whose numbers stand in its tables."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.report.findings import Findings
from analysis.report.formatting import number_text
from analysis.tables.quality import quality_sentences


def answers(findings: Findings) -> list[str]:
    """Return the findings as sentences, the most wanted first."""
    frame = findings.collection.frame
    scored = skilled(findings.accuracy)
    sentences = [forecast_sentence(group) for _, group in scored.groupby("system")]
    sentences += scaling_sentences(findings.scaling)
    sentences += quality_sentences(findings.to_target, findings.collection.studies)
    sentences = sentences or base_sentences(findings.scaling)
    if not sentences:
        sentences.append(
            "No finished run was found, so there is nothing to conclude."
            if not (frame["state"] == "done").any()
            else "The finished runs hold neither forecasts nor step times."
        )
    return [*sentences, *counts_sentence(frame)]


def skilled(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the finished runs that were scored."""
    return accuracy[(accuracy["state"] == "done") & accuracy["vpt_mean"].notna()]


def forecast_sentence(group: pd.DataFrame) -> str:
    """Say how long the best forecaster of a system stays valid, beside trivial forecasts."""
    best = group.iloc[int(group["vpt_mean"].argmax())].to_dict()
    who = " ".join(str(best[name]) for name in ("model", "method", "variant") if best.get(name))
    runs = "run" if len(group) == 1 else "runs"
    text = f"{best['system']} ({best['parameters']}): the best of {len(group)} scored {runs} "
    text += f"({who or best['run']}) forecasts correctly for "
    text += f"{number_text(best['vpt_mean'])} Lyapunov times on average"
    if math.isfinite(best["vpt_low"]):
        text += f" (95 % interval {number_text(best['vpt_low'])} to "
        text += f"{number_text(best['vpt_high'])}, {best['n']:.0f} initial conditions)"
    text += trivial_clause(best)
    share = best["vpt_censored_share"]
    if math.isfinite(share) and share > 0:
        text += f" {share:.0%} of the forecasts outlasted the horizon: the mean is a lower bound."
    return text


def trivial_clause(row: Mapping[Any, Any]) -> str:
    """Say whether, and by how much, the forecast beats persistence and climatology."""
    parts = []
    for name in ("persistence", "climatology"):
        reference, ratio = row[f"vpt_{name}"], row[f"nrmse_ratio_{name}_0.5"]
        if not math.isfinite(reference):
            continue
        part = f"{name} ({number_text(reference)}"
        if math.isfinite(ratio):
            part += f"; error at 0.5 Lyapunov times {number_text(ratio)} of {name}'s"
        part += ")"
        parts.append(part)
    if not parts:
        return "."
    beaten = all(
        row["vpt_mean"] > row[f"vpt_{name}"]
        for name in ("persistence", "climatology")
        if math.isfinite(row[f"vpt_{name}"])
    )
    return f"; it {'beats' if beaten else 'does not beat'} {' and '.join(parts)}."


def scaling_sentences(scaling: pd.DataFrame) -> list[str]:
    """Say, per curve, what the largest number of ranks gained over the base."""
    sentences = []
    measured = scaling[scaling["speed_up"].notna()]
    for _, curve in measured.groupby(["study", "group", "backend"], sort=False, dropna=False):
        last = curve.iloc[int(curve["ranks"].argmax())].to_dict()
        if last["ranks"] == last["base_ranks"]:
            continue
        text = f"{last['label']}, {last['backend']}: {last['ranks']:.0f} ranks run a step in "
        text += f"{number_text(last['step_seconds'])} s against "
        text += f"{number_text(last['base_seconds'])} s on {last['base_ranks']:.0f} "
        text += f"({last['base_kind']}), "
        text += f"a {last['mode']}-scaling speed-up of {bounds(last, 'speed_up')} "
        text += f"and an efficiency of {bounds(last, 'efficiency')}."
        if last["interval_over"] == "steps":
            text += f" With {last['n_ok']:.0f} done at {last['ranks']:.0f} ranks, the intervals "
            text += "show the spread of steps, not of repeats."
        sentences.append(text)
    return sentences


def base_sentences(scaling: pd.DataFrame) -> list[str]:
    """Say how long a step takes where there is only one number of ranks."""
    return [
        f"{row['label']}, {row['backend']}: a step takes {bounds(row, 'step_seconds')} s on "
        f"{row['ranks']:.0f} rank{'s' if row['ranks'] > 1 else ''}; no other number of ranks was "
        "measured, so no speed-up is known."
        for row in scaling[scaling["step_seconds"].notna()].to_dict("records")
    ]


def bounds(row: Mapping[Any, Any], name: str) -> str:
    """Return a value with its interval in brackets."""
    text = number_text(row[name])
    if math.isfinite(row[f"{name}_low"]):
        text += f" ({number_text(row[f'{name}_low'])} to {number_text(row[f'{name}_high'])})"
    return text


def counts_sentence(frame: pd.DataFrame) -> list[str]:
    """Say what did not finish; nothing when all did."""
    others = frame[frame["state"] != "done"]["state"].value_counts()
    if others.empty:
        return []
    listed = ", ".join(f"{count} {state}" for state, count in others.items())
    return [f"Of {len(frame)} records, {len(frame) - int(others.sum())} are done and {listed}."]
