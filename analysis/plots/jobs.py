"""Picture of a study's jobs over time: who waited, who ran, who failed."""

import pandas as pd

from analysis.plots.style import COLOURS, Picture, canvas, legend_below

PHASES = {"queue": "#BBBBBB", "launch": COLOURS[5], "init": COLOURS[4], "run": COLOURS[0]}
NOT_DONE = COLOURS[1]
MAX_ROWS = 80


def gantt(spans: pd.DataFrame, *, name: str = "jobs", title: str = "Jobs over time") -> Picture:
    """Draw the phases of every attempt as bars over time.

    Parameters
    ----------
    spans
        ``run``, ``phase`` (queue, launch, init or run), ``begin`` and ``end`` in seconds since the
        first, ``state`` of the run.
    """
    order = list(dict.fromkeys(spans.sort_values("begin")["run"]))[:MAX_ROWS]
    with canvas(height=1.3 + 0.17 * len(order)) as figure:
        axes = figure.subplots()
        named: set[str] = set()
        for row in spans[spans["run"].isin(order)].to_dict("records"):
            good = row["state"] == "done" or row["phase"] != "run"
            label = str(row["phase"]) if good else f"run, {row['state']}"
            axes.barh(order.index(row["run"]), row["end"] - row["begin"], left=row["begin"],
                      height=0.7, color=PHASES[row["phase"]] if good else NOT_DONE,
                      hatch="" if good else "xx", edgecolor="white", lw=0.4,
                      label=None if label in named else label)  # fmt: skip
            named.add(label)
        axes.set_yticks(range(len(order)), order, fontsize=7)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="time since the first (s)", title=title)
        legend_below(figure, axes, columns=4)
    alt = f"{title}: {len(order)} of {spans['run'].nunique()} attempts as bars over seconds"
    return Picture(name, title, alt, figure, spans)
