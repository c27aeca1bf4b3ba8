"""Pictures of what a forecast does: space-time diagrams and the growth of its error."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from analysis.plots.style import Picture, canvas, legend, line_style

Array = npt.NDArray[Any]

MAX_IMAGE_ROWS = 1200
"""Samples in time beyond which a space-time picture is thinned: more than its pixels."""


def space_time(
    truth: Array,
    forecast: Array | None = None,
    *,
    time: Array,
    name: str = "space_time",
    title: str = "Space-time diagram",
    time_label: str = "time (Lyapunov times)",
    space_label: str = "site",
    vpt: float | None = None,
) -> Picture:
    """Draw truth, forecast and their difference over time and space, on shared axes.

    Parameters
    ----------
    truth, forecast
        States, (time, component); without ``forecast`` the picture has one panel.
    time
        Times of the rows, (time), in the unit ``time_label`` names.
    vpt
        Valid prediction time, drawn as a line, in the unit of ``time``.
    """
    rows = len(time)
    stride = max(1, -(-rows // MAX_IMAGE_ROWS))
    shown = np.asarray(time)[::stride]
    panels = [("truth", np.asarray(truth)[::stride])]
    if forecast is not None:
        predicted = np.asarray(forecast)[::stride]
        error = np.abs(predicted - panels[0][1])
        panels += [("forecast", predicted), ("|forecast − truth|", error)]
    with canvas(height=1.0 + 1.25 * len(panels)) as figure:
        draw_panels(figure, panels, shown, time_label, space_label, vpt)
        figure.suptitle(title)
    alt = f"{title}: {panels[0][1].shape[1]} components over {shown[-1] - shown[0]:.3g} "
    alt += time_label.partition("(")[2].rstrip(")") or "units of time"
    if forecast is not None:
        alt += "; panels from top to bottom: truth, forecast, absolute difference"
    if vpt is not None:
        alt += f"; the forecast stays valid for {vpt:.2f} Lyapunov times"
    return Picture(name, title, alt, figure, space_time_data(panels, shown, time_label))


def draw_panels(
    figure: Figure,
    panels: list[tuple[str, Array]],
    time: Array,
    time_label: str,
    space_label: str,
    vpt: float | None,
) -> None:
    """Draw one image per panel; truth and forecast share their colours."""
    low, high = (float(f(panels[0][1])) for f in (np.nanmin, np.nanmax))
    grid = figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    components = panels[0][1].shape[1]
    extent = (float(time[0]), float(time[-1]), -0.5, components - 0.5)
    for axes, (label, values) in zip(grid, panels, strict=True):
        is_error = label.startswith("|")
        image = axes.imshow(
            values.T,
            aspect="auto",
            origin="lower",
            extent=extent,
            interpolation="nearest",
            cmap="magma_r" if is_error else "viridis",
            vmin=0.0 if is_error else low,
            vmax=(high - low) / 2 if is_error else high,
        )
        axes.grid(visible=False)
        axes.set_ylabel(space_label)
        axes.set_title(label, loc="left")
        figure.colorbar(image, ax=axes, pad=0.01, extend="max" if is_error else "neither")
        if vpt is not None:
            axes.axvline(vpt, color="white" if not is_error else "black", lw=1.2, ls="--")
    grid[-1].set_xlabel(time_label)


def space_time_data(panels: list[tuple[str, Array]], time: Array, time_label: str) -> pd.DataFrame:
    """Return the panels as one table with a row per time."""
    columns: dict[str, Array] = {time_label: time}
    for label, values in panels[:2]:
        columns |= {f"{label} {i}": column for i, column in enumerate(values.T)}
    return pd.DataFrame(columns)


def nrmse_over_time(
    curves: Mapping[str, tuple[Array, Array]],
    *,
    references: Mapping[str, tuple[Array, Array]] | None = None,
    threshold: float = 0.5,
    name: str = "nrmse",
    title: str = "Forecast error over lead time",
) -> Picture:
    """Draw the error of forecasts against lead time in Lyapunov times.

    Parameters
    ----------
    curves
        Label → (time in Lyapunov times (time), NRMSE (initial_condition, time)); the line is
        the median over initial conditions, the band its quartiles.
    references
        Label → (time, NRMSE (time)) of trivial forecasts such as persistence.
    threshold
        NRMSE at which a forecast stops being valid.
    """
    columns: dict[str, Array] = {}
    with canvas(height=3.3) as figure:
        axes = figure.subplots()
        for index, (label, (time, nrmse)) in enumerate(curves.items()):
            low, middle, high = quartiles(nrmse)
            style = line_style(index)
            axes.plot(time, middle, label=label, **style)
            axes.fill_between(time, low, high, color=style["color"], alpha=0.18, lw=0)
            columns |= {
                f"{label} time": time,
                f"{label} quartile 1": low,
                f"{label} median": middle,
                f"{label} quartile 3": high,
            }
        for index, (label, (time, error)) in enumerate((references or {}).items()):
            axes.plot(time, error, label=label, color="#777777", ls=(":", "-.")[index % 2], lw=1.2)
            columns |= {f"{label} time": time, label: error}
        axes.axhline(threshold, color="black", lw=0.8)
        axes.annotate(
            f"valid below {threshold:g}",
            (1.0, threshold),
            va="bottom",
            ha="right",
            xycoords=("axes fraction", "data"),
            fontsize=8,
        )
        axes.set(xlabel="lead time (Lyapunov times)", ylabel="NRMSE (1)", title=title)
        axes.set_ylim(bottom=0.0)
        axes.set_xlim(left=0.0)
        legend(axes)
    alt = f"{title}: NRMSE against lead time in Lyapunov times; median and quartiles over initial "
    alt += "conditions for " + ", ".join(curves)
    return Picture(name, title, alt, figure, ragged(columns))


def quartiles(nrmse: Array) -> tuple[Array, Array, Array]:
    """Return the quartiles over initial conditions; an exploded forecast counts as infinite."""
    finite = np.where(np.isfinite(nrmse), nrmse, np.inf)
    # Measured values alone avoid inf − inf where some forecasts have exploded.
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75], axis=0, method="nearest")
    return tuple(np.where(np.isinf(q), np.nan, q) for q in (low, middle, high))  # type: ignore[return-value]


def ragged(columns: Mapping[str, Array]) -> pd.DataFrame:
    """Return columns of unequal length side by side, the short ones filled with NaN."""
    return pd.DataFrame({name: pd.Series(np.asarray(values)) for name, values in columns.items()})
