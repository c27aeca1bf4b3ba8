"""One look for all pictures, and how a picture becomes files.

The colours are those of Okabe and Ito (2008), told apart by readers with every common form of
colour blindness; lines differ in dash and marker too, so that a grey print still reads.
"""

import base64
import io
import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
"""Okabe and Ito's palette, strongest contrast on white first; yellow is left out for print."""

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

WIDTH = 7.0
"""Width of a full picture in inches, the text width of a printed page."""

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
    "svg.hashsalt": "hpcbench",
}


@dataclass(frozen=True)
class Picture:
    """A figure with what a reader needs who cannot see it.

    Attributes
    ----------
    name
        File name without ending.
    title
        What it shows, in one line.
    alt
        Its content in words, for the alt text of the page.
    figure
        The matplotlib figure.
    data
        The plotted numbers, written as CSV beside the picture.
    """

    name: str
    title: str
    alt: str
    figure: Figure
    data: pd.DataFrame

    @cached_property
    def png(self) -> bytes:
        """The figure as a PNG file, drawn once."""
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.figure.savefig(buffer, format="png", metadata={"Software": "hpcbench"})
        return buffer.getvalue()

    def data_uri(self) -> str:
        """The figure as the ``src`` of an HTML image."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.png, NAME.svg and NAME.csv into ``folder`` and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        png, svg, csv = (folder / f"{self.name}.{ending}" for ending in ("png", "svg", "csv"))
        png.write_bytes(self.png)
        with mpl.rc_context(STYLE):
            self.figure.savefig(svg, metadata={"Date": None})
        self.data.to_csv(csv, index=False)
        return [png, svg, csv]


LETTERS_PER_INCH, LEGEND_LETTERS_PER_INCH = 10, 12
"""Letters of a title, and of a legend beside its key, that fit into an inch of the width."""

LINE_INCHES = 0.17
"""Height of a line of a legend."""


@contextmanager
def canvas(height: float = 3.0, width: float = WIDTH) -> Iterator[Figure]:
    """Give a new figure (inches) inside the project's style; nothing global is touched.

    Titles that are too long for a line take several.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        most_letters = int(LETTERS_PER_INCH * width)
        for axes in figure.axes:
            if len(axes.get_title()) > most_letters:
                axes.set_title(textwrap.fill(axes.get_title(), most_letters))
        if len(figure.get_suptitle()) > most_letters:
            figure.suptitle(textwrap.fill(figure.get_suptitle(), most_letters))


def line_style(index: int) -> dict[str, Any]:
    """Return colour and dash of the ``index``-th line."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}


def point_style(index: int) -> dict[str, Any]:
    """Return colour and marker of the ``index``-th series of points."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def legend(axes: Axes, limit: int = 4) -> None:
    """Put the legend where it hides nothing: inside for a few entries, beside for many.

    Long labels go below, in a picture that grows by the lines they take.
    """
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    if max(map(len, labels)) > key_letters(figure) / 2:  # no room for axes beside it
        legend_below(figure, axes)
    elif len(handles) <= limit:
        axes.legend(handles, labels)
    else:
        axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def legend_below(figure: Figure, axes: Axes, columns: int = 1) -> None:
    """Put the legend of ``axes`` below all axes of a figure, in columns where its labels fit them.

    Otherwise it has one column, in which long labels take several lines, and the picture grows.
    """
    handles, labels = axes.get_legend_handles_labels()
    if columns > 1 and max(map(len, labels), default=0) <= key_letters(figure) / columns:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        return
    labels = [textwrap.fill(label, key_letters(figure)) for label in labels]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * (lines + 1))
    figure.legend(handles, labels, loc="outside lower left")


def key_letters(figure: Figure) -> int:
    """Return how many letters of a legend fit beside its key into the width of a figure."""
    return int(LEGEND_LETTERS_PER_INCH * figure.get_figwidth())


def log_ticks(axis: Axis, limits: tuple[float, float]) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2 and 5 of each decade."""
    low, high = limits
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def file_name(text: str) -> str:
    """Return ``text`` as a plain file name."""
    kept = "".join(c if c.isalnum() or c in "-_" else "_" for c in text)
    return "_".join(part for part in kept.split("_") if part)[:80] or "picture"
