"""Pictures of scaling: time and efficiency against ranks."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, ScalarFormatter

from analysis.plots.style import Picture, canvas, line_style, point_style


def scaling(
    table: pd.DataFrame,
    points: pd.DataFrame,
    *,
    name: str = "scaling_curves",
    title: str = "Scaling",
) -> Picture:
    """Draw step time and efficiency of scaling curves against ranks.

    Parameters
    ----------
    table
        Rows of :func:`analysis.scaling.scaling_table`.
    points
        Raw points of :func:`analysis.scaling.raw_points`, drawn faint behind the medians.
    """
    keys = ["study", "group", "backend"]
    measured = table[table["step_seconds"].notna()]
    with canvas(height=3.2) as figure:
        left, right = figure.subplots(1, 2)
        curves = list(measured.groupby(keys, sort=False, dropna=False))
        for index, (key, curve) in enumerate(curves):
            label = curve_label(curve, measured)
            raw = points[[tuple(row) == tuple(key) for row in points[keys].to_numpy()]]
            left.plot(
                raw["ranks"],
                raw["step_seconds"],
                ls="none",
                alpha=0.35,
                ms=4,
                mew=0,
                **point_style(index),
            )
            with_interval(left, curve, "step_seconds", index, label)
            with_interval(right, curve, "efficiency", index, label)
            left.plot(
                curve["ranks"],
                ideal_seconds(curve),
                color="#777777",
                lw=1.0,
                ls=":",
                label="ideal" if index == 0 else None,
            )
        right.axhline(1.0, color="#777777", lw=1.0, ls=":", label="ideal")
        ranks = sorted(measured["ranks"].unique())
        for axes in (left, right):
            rank_axis(axes, ranks)
        seconds_axis(left)
        left.set(ylabel="step time (s)", title="Time per step")
        right.set(ylabel="efficiency (1)", title="Efficiency")
        right.set_ylim(0.0, 1.08 * float(np.nanmax([1.0, *measured["efficiency_high"]])))
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(title)
    alt = f"{title}: left the step time in seconds, right the efficiency, both against ranks "
    alt += f"({', '.join(f'{r:g}' for r in ranks)}), with intervals, raw points and the ideal"
    return Picture(name, title, alt, figure, measured)


def with_interval(axes: Axes, curve: pd.DataFrame, column: str, index: int, label: str) -> None:
    """Draw one column against ranks with error bars where it has an interval."""
    value = curve[column].to_numpy(dtype=float)
    low = value - curve[f"{column}_low"].fillna(curve[column]).to_numpy(dtype=float)
    high = curve[f"{column}_high"].fillna(curve[column]).to_numpy(dtype=float) - value
    style = {**line_style(index), **point_style(index)}
    axes.errorbar(
        curve["ranks"], value, yerr=np.maximum([low, high], 0.0), capsize=3, label=label, **style
    )


def ideal_seconds(curve: pd.DataFrame) -> pd.Series:
    """Return the step time of ideal scaling from the base of the curve."""
    if curve["mode"].iloc[0] == "strong":
        return curve["base_seconds"] * curve["base_ranks"] / curve["ranks"]
    return curve["base_seconds"]


def curve_label(curve: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return what tells this curve from the others, and no more."""
    first = curve.iloc[0]
    words = [str(first["backend"])]
    if table["label"].nunique() > 1:
        words.insert(0, str(first["label"]))
        if table["backend"].nunique() == 1:
            words.pop()
    elif table["group"].nunique() > 1:
        words.insert(0, str(first["group"]))
    if table["study"].nunique() > 1:
        words.insert(0, str(first["study"]))
    return " ".join(words)


def seconds_axis(axes: Axes) -> None:
    """Label a logarithmic axis of times with plain numbers at 1, 2 and 5 of each decade."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def rank_axis(axes: Axes, ranks: Sequence[float]) -> None:
    """Put a tick at every measured number of ranks, on a logarithmic axis."""
    if len(ranks) > 1:
        axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ranks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("ranks")
