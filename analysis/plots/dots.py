"""Dot plots: every run as a dot, every group as a mean with its interval."""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.plots.style import Picture, canvas, legend, point_style
from analysis.statistics.intervals import few_runs_interval

Groups = Mapping[str, Sequence[float]]
"""Label of a row → one value per run."""


def dot_plot(
    series: Mapping[str, Groups],
    *,
    xlabel: str,
    name: str,
    title: str,
    logarithmic: bool = False,
) -> Picture:
    """Draw a row per label: open dots are runs, the full one their mean with its 95 % interval.

    The interval is :func:`few_runs_interval`'s.

    Parameters
    ----------
    series
        What is measured → label of a row → one value per run; every series has the same rows. A
        single series needs no key.
    """
    labels = list(next(iter(series.values())))
    records = []
    with canvas(height=1.1 + 0.34 * len(labels) * max(1, len(series) * 0.6)) as figure:
        axes = figure.subplots()
        for index, (what, groups) in enumerate(series.items()):
            shift = 0.26 * (index - (len(series) - 1) / 2)
            style = point_style(index)
            for row, label in enumerate(labels):
                values, place = groups[label], row + shift
                interval = few_runs_interval(values)
                axes.plot(values, [place] * len(values), ls="none", mfc="none", alpha=0.7, ms=4,
                          **style)  # fmt: skip
                axes.plot([interval.low, interval.high], [place, place], color=style["color"])
                axes.plot([interval.value], [place], ls="none", ms=7, **style,
                          label=what if row == 0 else None)  # fmt: skip
                records.append(
                    {"row": label, "series": what, "mean": interval.value, "low": interval.low,
                     "high": interval.high, **{f"run {k}": v for k, v in enumerate(values, 1)}}
                )  # fmt: skip
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        if logarithmic:
            axes.set_xscale("log")
        axes.set(xlabel=xlabel, title=title)
        if len(series) > 1:
            legend(axes)
    alt = f"{title}: {xlabel}, mean with interval: " + "; ".join(
        f"{r['row']} {r['mean']:.3g} ({r['low']:.3g} to {r['high']:.3g}, {r['series']})"
        for r in records
    )
    return Picture(name, title, alt, figure, pd.DataFrame(records))
