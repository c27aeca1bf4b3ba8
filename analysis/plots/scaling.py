"""Pictures of scaling: time and efficiency against ranks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from analysis.plots.style import Picture, canvas, legend_below, line_style, log_ticks, point_style


def scaling(
    table: pd.DataFrame,
    points: pd.DataFrame,
    laws: pd.DataFrame | None = None,
    *,
    name: str = "scaling_curves",
    title: str = "Scaling",
) -> Picture:
    """Draw step time and efficiency of scaling curves against ranks.

    Parameters
    ----------
    table
        Rows of :func:`analysis.tables.scaling.scaling_table`.
    points
        Raw points of :func:`analysis.tables.scaling.raw_points`, drawn faint behind the medians.
    laws
        Curves of :func:`analysis.tables.fits.law_curves`: fitted laws with their bands, and
        dashed where they are projections.
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
            with_baselines = curve[curve["predicted_seconds"].notna() & (curve["ranks"] > 1)]
            left.plot(with_baselines["ranks"], with_baselines["predicted_seconds"], ls="none",
                      marker="_", ms=11, mew=1.6, color=line_style(index)["color"],
                      label=f"{label}, predicted from α and β" if len(with_baselines) else None,
                      )  # fmt: skip
        if laws is not None and len(laws):
            draw_laws(left, laws)
        right.axhline(1.0, color="#777777", lw=1.0, ls=":", label="ideal")
        ranks = sorted(measured["ranks"].unique())
        rank_axis(left, sorted({*ranks, *projected(laws)}))
        rank_axis(right, ranks)
        left.set_yscale("log")
        log_ticks(left.yaxis, left.get_ylim())
        left.set(ylabel="step time (s)", title="Time per step")
        right.set(ylabel="efficiency (1)", title="Efficiency")
        right.set_ylim(0.0, 1.08 * float(np.nanmax([1.0, *measured["efficiency_high"]])))
        legend_below(figure, left, columns=2)
        figure.suptitle(title)
    alt = f"{title}: left the step time in seconds, right the efficiency, both against ranks "
    alt += f"({', '.join(f'{r:g}' for r in ranks)}), with intervals, raw points and the ideal"
    return Picture(name, title, alt, figure, measured)


def draw_laws(axes: Axes, laws: pd.DataFrame) -> None:
    """Draw fitted laws in grey; what lies beyond twice the measured ranks is a projection."""
    for index, (law, curve) in enumerate(laws.groupby("law", sort=False)):
        measured, beyond = curve[~curve["is_projection"]], curve[curve["is_projection"]]
        grey = ("#444444", "#999999")[index % 2]
        axes.plot(measured["ranks"], measured["seconds"], color=grey, lw=0.9, label=f"{law} fit")
        axes.fill_between(curve["ranks"], curve["low"], curve["high"], color=grey, alpha=0.12, lw=0)
        if len(beyond):
            axes.plot(beyond["ranks"], beyond["seconds"], color=grey, lw=0.9, ls="--",
                      label=f"{law}, projection")  # fmt: skip


def with_interval(axes: Axes, curve: pd.DataFrame, column: str, index: int, label: str) -> None:
    """Draw one column against ranks with error bars where it has an interval."""
    value = curve[column].to_numpy(dtype=float)
    low = value - curve[f"{column}_low"].fillna(curve[column]).to_numpy(dtype=float)
    high = curve[f"{column}_high"].fillna(curve[column]).to_numpy(dtype=float) - value
    style = {**line_style(index), **point_style(index)}
    axes.errorbar(
        curve["ranks"], value, yerr=np.maximum([low, high], 0.0), capsize=3, label=label, **style
    )


def projected(laws: pd.DataFrame | None) -> list[float]:
    """Return the largest number of ranks that is a projection, if there is one."""
    if laws is None or not laws["is_projection"].any():
        return []
    return [float(laws["ranks"].max())]


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


def rank_axis(axes: Axes, ranks: Sequence[float]) -> None:
    """Put a tick at every measured number of ranks, on a logarithmic axis."""
    if len(ranks) > 1:
        axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ranks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("ranks")
