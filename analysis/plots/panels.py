"""Small multiples of curves: one panel per case, one drawing routine for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from analysis.plots.forecasts import ragged
from analysis.plots.style import COLOURS, Picture, canvas, legend, line_style, point_style

Array = npt.NDArray[Any]
Look = Literal["line", "points", "both", "reference"]

GREY = "#777777"
MANY = 50
"""Points of a curve beyond which its markers are small."""

MAX_TICKS = 10
"""Different values on a logarithmic axis up to which each gets a tick."""

PANEL_HEIGHT = 2.0
"""Height in inches of a panel in a column of panels."""


@dataclass(frozen=True)
class Line:
    """One curve of a panel.

    x, y
        ``(point,)``; gaps where ``y`` is no number.
    low, high
        Band around it, ``(point,)``.
    look
        ``line``, ``points``, ``both``, or ``reference``: a thin black line beneath the others.
    colour
        Index of colour, dash and marker; by default the place among the panel's curves that are
        no references.
    """

    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None
    look: Look = "line"
    colour: int | None = None


@dataclass(frozen=True)
class Panel:
    """One panel: curves by label, axes by name with unit.

    logarithmic
        Which axes are: ``""``, ``"x"``, ``"y"`` or ``"xy"``.
    levels
        Heights of thin dotted lines.
    limits
        Of the vertical axis.
    key
        Whether the panel explains its curves.
    """

    title: str
    curves: Mapping[str, Line]
    xlabel: str
    ylabel: str
    logarithmic: str = ""
    levels: Sequence[float] = field(default_factory=tuple)
    limits: tuple[float, float] | None = None
    key: bool = True


def panels(
    shown: Sequence[Panel],
    *,
    name: str,
    title: str,
    alt: str,
    columns: int = 1,
    height: float = PANEL_HEIGHT,
    share_y: bool = False,
) -> Picture:
    """Draw panels row by row, ``height`` inches each; the data are all their curves."""
    rows = -(-len(shown) // columns)
    with canvas(height=0.5 + height * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
        for place, axes in enumerate(grid.flat):
            if place < len(shown):
                draw(axes, shown[place], key_beside=columns == 1)
            else:
                axes.set_visible(False)
        if share_y:
            for axes in grid[:, 1:].flat:
                axes.set_ylabel("")
        figure.suptitle(title)
    return Picture(name, title, alt, figure, ragged(data(shown)))


def draw(axes: Axes, panel: Panel, key_beside: bool) -> None:
    """Draw one panel, its key beside it where there is room or inside."""
    place = 0
    for label, curve in panel.curves.items():
        if curve.look == "reference":
            axes.plot(curve.x, curve.y, label=label, color="black", lw=0.8, zorder=1)
            continue
        index = place if curve.colour is None else curve.colour
        place += 1
        style: dict[str, Any] = {}
        if curve.look in ("line", "both"):
            style |= line_style(index)
        if curve.look in ("points", "both"):
            # curves that agree hide each other: the earlier ones show as rims
            size = max(3.0, 7.0 - index)
            style = {"linestyle": "none", "markersize": size, **point_style(index), **style}
        if "marker" in style and len(curve.x) > MANY:
            style |= {"markersize": 2.5, "linewidth": 0.7}
        axes.plot(curve.x, curve.y, label=label, **style)
        if curve.low is not None and curve.high is not None:
            colour = COLOURS[index % len(COLOURS)]
            axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
    for level in panel.levels:
        axes.axhline(level, color=GREY, lw=0.8, ls=":", zorder=0)
    if "x" in panel.logarithmic:
        axes.set_xscale("log")
        measured = np.unique(np.concatenate([curve.x for curve in panel.curves.values()]))
        if len(measured) <= MAX_TICKS:
            axes.set_xticks(measured, [f"{value:g}" for value in measured])
            axes.minorticks_off()
    if "y" in panel.logarithmic:
        axes.set_yscale("log")
    if panel.limits is not None:
        axes.set_ylim(panel.limits)
    axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
    axes.set_title(panel.title, loc="left")
    if panel.key and any(not label.startswith("_") for label in panel.curves):
        legend(axes, limit=0 if key_beside else len(panel.curves))


def data(shown: Sequence[Panel]) -> dict[str, Array]:
    """Return every curve as columns named by panel and label."""
    columns: dict[str, Array] = {}
    for panel in shown:
        for label, curve in panel.curves.items():
            head = " ".join(part for part in (panel.title, label.strip("_")) if part)
            columns |= {f"{head}: {panel.xlabel}": curve.x, f"{head}: {panel.ylabel}": curve.y}
            if curve.low is not None and curve.high is not None:
                columns |= {f"{head}: low": curve.low, f"{head}: high": curve.high}
    return {name: np.asarray(values) for name, values in columns.items()}
