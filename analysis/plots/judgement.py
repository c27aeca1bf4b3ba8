"""Pictures to judge by: what a fit leaves unexplained, and back ends against each other."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.plots.scaling import rank_axis
from analysis.plots.style import Picture, canvas, legend, line_style, point_style
from analysis.statistics.fitting import Fit


def residuals(
    fits: Sequence[Fit],
    *,
    name: str = "residuals",
    title: str = "What the laws leave unexplained",
) -> Picture:
    """Draw the relative residuals of laws in ranks: a good one scatters around zero."""
    rows = pd.concat([f.points.assign(law=f.law.name) for f in fits], ignore_index=True)
    rows["residual_share"] = np.expm1(rows["residual"])
    with canvas(height=2.8) as figure:
        axes = figure.subplots()
        for index, (law, group) in enumerate(rows.groupby("law", sort=False)):
            axes.plot(group["ranks"], 100 * group["residual_share"], label=str(law),
                      **{**line_style(index), **point_style(index)})  # fmt: skip
        axes.axhline(0.0, color="black", lw=0.8)
        rank_axis(axes, sorted(rows["ranks"].unique()))
        axes.set(ylabel="measured − fitted (%)", title=title)
        legend(axes)
    alt = f"{title}: relative residual in percent against ranks for "
    alt += ", ".join(f.law.name for f in fits)
    return Picture(name, title, alt, figure, rows)


def forest(
    table: pd.DataFrame,
    *,
    margin: float = 0.05,
    name: str = "back_ends",
    title: str = "Back ends against each other",
) -> Picture:
    """Draw ratios with their intervals, one row each, and the margin that does not matter.

    Parameters
    ----------
    table
        ``label``, ``ratio``, ``ratio_low``, ``ratio_high`` and ``verdict``.
    """
    rows = table.to_dict("records")
    with canvas(height=1.4 + 0.28 * len(table)) as figure:
        axes = figure.subplots()
        axes.axvspan(1 / (1 + margin), 1 + margin, color="#E8E8E8", lw=0, zorder=0)
        axes.axvline(1.0, color="black", lw=0.8)
        for place, row in enumerate(rows):
            value = row["ratio"]
            reach = [[value - row["ratio_low"]], [row["ratio_high"] - value]]
            axes.errorbar([value], [place], xerr=np.maximum(np.nan_to_num(reach), 0), capsize=3,
                          **point_style(0))  # fmt: skip
            axes.annotate(str(row["verdict"]), (1.01, place), fontsize=8, va="center",
                          xycoords=("axes fraction", "data"))  # fmt: skip
        axes.set_yticks(range(len(table)), [str(label) for label in table["label"]])
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=f"ratio of step times (1), grey: within {margin:.0%}", title=title)
    alt = f"{title}: ratio of step times with interval for " + "; ".join(
        f"{row['label']} {row['ratio']:.3g} ({row['verdict']})" for row in rows
    )
    return Picture(name, title, alt, figure, table)
