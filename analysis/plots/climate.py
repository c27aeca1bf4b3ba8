"""Pictures of long-term behaviour: spectra, Lyapunov exponents, attractors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.plots.forecasts import ragged
from analysis.plots.style import Picture, canvas, legend, line_style, point_style

Array = npt.NDArray[Any]


def spectra(
    curves: Mapping[str, tuple[Array, Array]],
    *,
    name: str = "spectra",
    title: str = "Spatial power spectrum",
) -> Picture:
    """Draw power against wavenumber for the system and its models.

    Parameters
    ----------
    curves
        Label → (wavenumber index (k), mean power (k)).
    """
    columns: dict[str, Array] = {}
    with canvas(height=3.0, width=5.6) as figure:
        axes = figure.subplots()
        for index, (label, (wavenumber, power)) in enumerate(curves.items()):
            axes.plot(wavenumber, power, label=label, **line_style(index))
            columns |= {f"{label} wavenumber": wavenumber, f"{label} power": power}
        if any(np.any(power > 0) for _, power in curves.values()):
            axes.set_yscale("log")
        axes.set(xlabel="wavenumber (waves per domain)", ylabel="power (state units²)", title=title)
        legend(axes)
    alt = f"{title}: power against wavenumber for " + ", ".join(curves)
    return Picture(name, title, alt, figure, ragged(columns))


def lyapunov_spectra(
    curves: Mapping[str, Array],
    *,
    name: str = "lyapunov_spectra",
    title: str = "Lyapunov spectrum",
) -> Picture:
    """Draw Lyapunov exponents in falling order for the system and its models.

    Parameters
    ----------
    curves
        Label → exponents (index) per model time unit.
    """
    with canvas(height=3.0, width=5.6) as figure:
        axes = figure.subplots()
        for index, (label, exponents) in enumerate(curves.items()):
            ordered = np.sort(exponents)[::-1]
            axes.plot(np.arange(1, len(ordered) + 1), ordered, label=label,
                      **{**line_style(index), **point_style(index)})  # fmt: skip
        axes.axhline(0.0, color="black", lw=0.8)
        axes.set(xlabel="index", ylabel="exponent (1 / model time unit)", title=title)
        legend(axes)
    alt = f"{title}: exponents in falling order for " + ", ".join(curves)
    data = ragged({label: np.sort(values)[::-1] for label, values in curves.items()})
    return Picture(name, title, alt, figure, data)


def attractors(
    trajectories: Mapping[str, Array],
    *,
    components: tuple[int, int] = (0, 1),
    labels: tuple[str, str] | None = None,
    name: str = "attractors",
    title: str = "Attractor",
) -> Picture:
    """Draw two components of trajectories against each other, a panel each on shared axes.

    Parameters
    ----------
    trajectories
        Label → states (time, component).
    components
        Which two to draw.
    labels
        What they are called; by default their numbers.
    """
    first, second = components
    xlabel, ylabel = labels or (f"component {first}", f"component {second}")
    columns: dict[str, Array] = {}
    with canvas(height=3.1, width=min(7.0, 0.6 + 3.1 * len(trajectories))) as figure:
        grid = figure.subplots(1, len(trajectories), sharex=True, sharey=True, squeeze=False)[0]
        for index, (axes, (label, states)) in enumerate(
            zip(grid, trajectories.items(), strict=True)
        ):
            axes.plot(states[:, first], states[:, second], lw=0.7, color=line_style(index)["color"])
            axes.set(xlabel=xlabel, title=label)
            columns |= {f"{label} {i}": states[:, i] for i in components}
        grid[0].set_ylabel(ylabel)
        figure.suptitle(title)
    alt = f"{title}: components {first} and {second} against each other for "
    alt += ", ".join(trajectories)
    return Picture(name, title, alt, figure, ragged(columns))
