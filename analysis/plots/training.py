"""Pictures of training: loss curves and the step times of every rank."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.plots.forecasts import ragged
from analysis.plots.style import Picture, canvas, legend, line_style, point_style

Array = npt.NDArray[Any]


def loss_curves(
    curves: Mapping[str, Array],
    *,
    validation: Mapping[str, tuple[Array, Array]] | None = None,
    name: str = "loss",
    title: str = "Training loss",
) -> Picture:
    """Draw training losses over steps, each over the others.

    Curves that agree hide each other, so the line gets thinner with every curve: the first shows
    as a rim around the second.

    Parameters
    ----------
    curves
        Label → loss (step).
    validation
        Label of a curve → (step (k), loss (k)), drawn as open points in the curve's colour.
    """
    columns: dict[str, Array] = {}
    with canvas(height=3.0) as figure:
        axes = figure.subplots()
        for index, (label, loss) in enumerate(curves.items()):
            width = max(1.0, 3.4 - 1.2 * index) if len(curves) > 1 else 1.5
            steps = np.arange(1, len(loss) + 1)
            axes.plot(steps, loss, label=label, lw=width, **line_style(index))
            columns |= {f"{label} loss": loss}
        for label, (step, loss) in (validation or {}).items():
            index = list(curves).index(label)
            axes.plot(step, loss, ls="none", mfc="white", **point_style(index))
            columns |= {f"{label} validation step": step, f"{label} validation loss": loss}
        if validation:
            axes.plot([], [], ls="none", marker="o", mfc="white", color="black", label="validation")
        values = np.concatenate([*map(np.ravel, curves.values()), np.empty(0)])
        if np.any(values > 0):
            axes.set_yscale("log")
        axes.set(xlabel="training step", ylabel="loss (1)", title=title)
        legend(axes)
    alt = f"{title}: loss against training step for " + ", ".join(curves)
    return Picture(name, title, alt, figure, ragged({"step": longest(curves), **columns}))


def longest(curves: Mapping[str, Array]) -> Array:
    """Return the step numbers of the longest curve."""
    return np.arange(1, max((len(curve) for curve in curves.values()), default=0) + 1)
