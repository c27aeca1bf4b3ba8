"""Pictures of communication: allreduce times with their law, and the step times of every rank."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from analysis.plots.style import Picture, canvas, legend, line_style, point_style
from analysis.statistics.fitting import Fit

Array = npt.NDArray[Any]

MAX_CELLS = 400
"""Columns of a heat map beyond which steps are averaged: more than its pixels."""


def allreduce(
    runs: pd.DataFrame,
    fit: Fit | None = None,
    *,
    name: str = "allreduce",
    title: str = "Allreduce time",
) -> Picture:
    """Draw allreduce times against message size, with a fitted latency–bandwidth law.

    Parameters
    ----------
    runs
        ``ranks``, ``bytes`` and ``seconds``, a row per measurement.
    fit
        A law in ranks and bytes, drawn through the points.
    """
    with canvas(height=3.2) as figure:
        axes = figure.subplots()
        for index, (ranks, group) in enumerate(runs.groupby("ranks")):
            style = point_style(index)
            axes.plot(group["bytes"], group["seconds"], ls="none", alpha=0.35, ms=3.5, **style)
            middle = group.groupby("bytes")["seconds"].median()
            axes.plot(middle.index, middle, ls="none", label=f"{ranks:g} ranks", **style)
            if fit is not None and np.isfinite(fit.left_out_error):
                sizes = np.geomspace(group["bytes"].min(), group["bytes"].max(), 60)
                curve = fit.predict(ranks=np.full_like(sizes, float(np.asarray(ranks))),
                                    bytes=sizes)  # fmt: skip
                axes.plot(sizes, curve["seconds"], **{**line_style(index), "lw": 1.0})
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set(xlabel="message (bytes)", ylabel="time (s)", title=title)
        legend(axes)
    alt = f"{title} in seconds against message size in bytes"
    if fit is not None:
        alt += f", with the fitted law {fit.law.equation}"
    return Picture(name, title, alt, figure, runs)


def rank_heat_map(
    step_seconds: Array,
    *,
    name: str = "rank_heat_map",
    title: str = "Step time of every rank",
) -> Picture:
    """Draw the time of every step on every rank relative to the median: stragglers are rows.

    Parameters
    ----------
    step_seconds
        (step, rank), in seconds.
    """
    steps, ranks = step_seconds.shape
    blocks = np.array_split(np.arange(steps), min(steps, MAX_CELLS))
    with np.errstate(invalid="ignore"):
        relative = np.array([step_seconds[block].mean(axis=0) for block in blocks])
        relative = relative / np.nanmedian(step_seconds)
    with canvas(height=1.6 + min(ranks, 32) * 0.09) as figure:
        axes = figure.subplots()
        image = axes.imshow(relative.T, aspect="auto", origin="lower", cmap="cividis",
                            interpolation="nearest", vmin=max(0.5, float(np.nanmin(relative))),
                            vmax=float(np.nanpercentile(relative, 99.5)),
                            extent=(0, steps, -0.5, ranks - 0.5))  # fmt: skip
        figure.colorbar(image, ax=axes, pad=0.01, extend="max", label="time / median (1)")
        axes.grid(visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="step", ylabel="rank", title=title)
    alt = f"{title}: {ranks} ranks over {steps} steps, relative to the median step time"
    columns = {f"rank {rank}": relative[:, rank] for rank in range(ranks)}
    frame = pd.DataFrame({"first_step": [int(block[0]) for block in blocks], **columns})
    return Picture(name, title, alt, figure, frame)
