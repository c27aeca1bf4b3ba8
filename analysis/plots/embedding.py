"""Pictures of how a series remembers itself: correlation, information, neighbours, components."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.plots.forecasts import ragged
from analysis.plots.style import Picture, canvas, legend, line_style
from hpcbench.embedding.diagnosis import Diagnosis


def embedding(
    found: Diagnosis, *, name: str = "embedding", title: str = "Embedding diagnostics"
) -> Picture:
    """Draw a diagnosis in four panels.

    Above: autocorrelation and mutual information against the lag, with the delays read off
    them. Below: false neighbours with Cao's E1 and E2 against the number of delays, and the
    variance held by the leading principal components.
    """
    unit = found.sample_interval * (found.lyapunov_exponent or 1.0)
    label = "Lyapunov times" if found.lyapunov_exponent else "model time units"
    lags = np.arange(len(found.correlation)) * unit
    information = found.information / found.information[0]
    with canvas(height=5.0) as figure:
        (top_left, top_right), (bottom_left, bottom_right) = figure.subplots(2, 2)
        top_left.plot(lags, found.correlation, **line_style(0))
        _levels(top_left, (0.0, 1 / np.e))
        _mark(top_left, found.decay_lag, unit, "1/e")
        _mark(top_left, found.zero_lag, unit, "zero", height=0.87)
        top_left.set(xlabel=f"lag ({label})", ylabel="autocorrelation (1)")

        top_right.plot(lags, information, **line_style(1))
        _levels(top_right, (1 / np.e,))
        rule = "1/e" if found.information_lag.rule == "decay" else found.information_lag.rule
        _mark(top_right, found.information_lag.lag, unit, rule)
        top_right.set(xlabel=f"lag ({label})", ylabel="information / entropy (1)")
        top_right.set_ylim(bottom=0.0)

        _neighbours(bottom_left, found)

        held = np.cumsum(found.principal.variances) / found.principal.variances.sum()
        numbers = np.arange(1, len(held) + 1)
        bottom_right.plot(numbers, held, marker=".", **line_style(3))
        _levels(bottom_right, (0.9, 0.95, 0.99))
        bottom_right.set(xlabel="principal components", ylabel="share of the variance (1)")
        bottom_right.set_ylim(0.0, 1.03)
        figure.suptitle(title)
    return Picture(name, title, _words(found, title, label, unit), figure, _data(found, lags))


def _neighbours(axes: Axes, found: Diagnosis) -> None:
    """Draw what happens to nearest neighbours as delays are added."""
    axes.set(xlabel="delays", ylabel="share, E1, E2 (1)")
    if found.unfolding is None:
        axes.text(0.5, 0.5, "trajectories too short", ha="center", transform=axes.transAxes)
        return
    curves = {
        "false neighbours": found.unfolding.false_share,
        "Cao's E1": found.unfolding.e1,
        "Cao's E2": found.unfolding.e2,
    }
    for index, (label, values) in enumerate(curves.items()):
        marker = "osD"[index]
        axes.plot(
            found.unfolding.dimensions, values, marker=marker, label=label, **line_style(index)
        )
    axes.set_ylim(bottom=0.0)
    legend(axes)


def _levels(axes: Axes, levels: tuple[float, ...]) -> None:
    for level in levels:
        axes.axhline(level, color="#777777", lw=0.8, ls=":")


def _mark(axes: Axes, lag: int | None, unit: float, label: str, height: float = 0.97) -> None:
    if lag is None:
        return
    axes.axvline(lag * unit, color="black", lw=0.8)
    place = (lag * unit, height)
    text = f" {label}: {lag * unit:.2g}"
    axes.annotate(text, place, xycoords=("data", "axes fraction"), va="top", fontsize=8)


def _words(found: Diagnosis, title: str, label: str, unit: float) -> str:
    lag = found.recommended_lag
    advice = "no delay stands out" if lag is None else f"recommended delay {lag * unit:.3g} {label}"
    return (
        f"{title}: autocorrelation, mutual information, false neighbours with Cao's E1 and E2, and "
        f"the variance held by principal components; {advice}"
    )


def _data(found: Diagnosis, lags: np.ndarray) -> pd.DataFrame:
    columns = {
        "lag": lags,
        "autocorrelation": found.correlation,
        "mutual information (nats)": found.information,
        "principal variance": found.principal.variances,
    }
    if found.unfolding is not None:
        columns |= {
            "delays": found.unfolding.dimensions,
            "false neighbours": found.unfolding.false_share,
            "E1": found.unfolding.e1,
            "E2": found.unfolding.e2,
        }
    return ragged(columns)
