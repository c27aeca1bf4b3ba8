"""Pictures of what speed and skill cost: where efficiency goes, time to quality, cost of skill."""

import numpy as np
import pandas as pd

from analysis.plots.scaling import rank_axis
from analysis.plots.style import (
    COLOURS,
    Picture,
    canvas,
    legend,
    legend_below,
    line_style,
    log_ticks,
    point_style,
)

PARTS = (
    ("compute_seconds", "compute", COLOURS[0], ""),
    ("data_seconds", "data wait", COLOURS[4], "//"),
    ("exposed_seconds", "exposed communication", COLOURS[1], "xx"),
)


def fractions(
    table: pd.DataFrame,
    *,
    name: str = "fractions",
    title: str = "Where the time of a step goes",
) -> Picture:
    """Draw the parts of a step, stacked, per number of ranks.

    Parameters
    ----------
    table
        Rows of one curve of :func:`analysis.tables.fractions.fraction_table`.
    """
    table = table.sort_values("ranks")
    labels = [f"{ranks:.0f}" for ranks in table["ranks"]]
    with canvas(height=3.0, width=5.6) as figure:
        axes = figure.subplots()
        bottom = np.zeros(len(table))
        measured = (table["exposed_from"] == "back end none").all()
        for column, name_of, colour, hatch in PARTS:
            is_rest = column == "exposed_seconds" and not measured
            label = "rest: communication, optimiser" if is_rest else name_of
            share = table[column].clip(lower=0).to_numpy() / table["step_seconds"].to_numpy()
            axes.bar(labels, share, bottom=bottom, label=label, color=colour, hatch=hatch,
                     edgecolor="white", lw=0.5, width=0.7)  # fmt: skip
            bottom += share
        for place, seconds in enumerate(table["step_seconds"]):
            axes.annotate(f"{seconds:.3g} s", (place, bottom[place]), ha="center", va="bottom",
                          fontsize=8)  # fmt: skip
        axes.set(xlabel="ranks", ylabel="share of the step time (1)", title=title)
        axes.set_ylim(0, 1.12 * max(1.0, float(bottom.max())))
        axes.grid(visible=False, axis="x")
        legend_below(figure, axes, columns=3)
    alt = f"{title}: shares of compute, data wait and exposed communication at "
    alt += ", ".join(labels) + " ranks"
    return Picture(name, title, alt, figure, table)


def time_to_quality(
    table: pd.DataFrame,
    *,
    name: str = "time_to_quality",
    title: str = "Efficiency of the time to the target",
) -> Picture:
    """Draw E_tts and its factors, the system's and the algorithm's, against ranks.

    Parameters
    ----------
    table
        Rows of one curve of :func:`analysis.tables.quality.quality_table`.
    """
    table = table.dropna(subset=["e_tts"]).sort_values("ranks")
    lines = (("e_system", "system"), ("e_algorithmic", "algorithm"), ("e_tts", "time to target"))
    with canvas(height=3.0, width=5.6) as figure:
        axes = figure.subplots()
        for index, (column, label) in enumerate(lines):
            axes.plot(table["ranks"], table[column], label=label,
                      **{**line_style(index), **point_style(index)})  # fmt: skip
        low, high = (table[f"e_tts_{end}"].fillna(table["e_tts"]) for end in ("low", "high"))
        axes.fill_between(table["ranks"], low, high, color=COLOURS[2], alpha=0.18, lw=0)
        axes.axhline(1.0, color="#777777", lw=1.0, ls=":")
        rank_axis(axes, sorted(table["ranks"].unique()))
        axes.set(ylabel="efficiency (1)", title=title)
        axes.set_ylim(bottom=0.0)
        legend(axes)
    alt = f"{title}: the product of system and algorithmic efficiency against ranks"
    return Picture(name, title, alt, figure, table)


def skill_and_cost(
    table: pd.DataFrame,
    *,
    cost: str = "training_seconds",
    cost_label: str = "training time (s)",
    name: str = "skill_and_cost",
    title: str = "Forecast skill against cost",
) -> Picture:
    """Draw VPT against the cost of training, and the front that nothing beats in both.

    Parameters
    ----------
    table
        Runs with ``label``, the cost, ``vpt_mean``, its bounds and ``on_front``.
    """
    table = table.dropna(subset=[cost, "vpt_mean"]).sort_values(cost)
    with canvas(height=3.4) as figure:
        axes = figure.subplots()
        for index, (label, group) in enumerate(table.groupby("label", sort=False)):
            value = group["vpt_mean"].to_numpy()
            low = value - group["vpt_low"].fillna(group["vpt_mean"]).to_numpy()
            high = group["vpt_high"].fillna(group["vpt_mean"]).to_numpy() - value
            axes.errorbar(group[cost], value, yerr=np.maximum([low, high], 0), ls="none",
                          capsize=2, label=str(label), **point_style(index))  # fmt: skip
        front = table[table["on_front"]]
        axes.step(front[cost], front["vpt_mean"], where="post", color="black", lw=1.0,
                  label="nothing is cheaper and better")  # fmt: skip
        costs = table[cost]
        if (costs > 0).all() and costs.max() > 5 * costs.min():
            axes.set_xscale("log")
            log_ticks(axes.xaxis, axes.get_xlim())
        axes.set(xlabel=cost_label, ylabel="VPT (Lyapunov times)", title=title)
        axes.set_ylim(bottom=0.0)
        legend(axes)
    alt = f"{title}: valid prediction time in Lyapunov times against {cost_label} for "
    alt += f"{len(table)} runs, with the front of the best"
    return Picture(name, title, alt, figure, table)
