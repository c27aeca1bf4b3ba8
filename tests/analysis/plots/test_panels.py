"""Small multiples and dot plots: what is drawn is what is written."""

import numpy as np
import pytest

from analysis.plots.dots import dot_plot
from analysis.plots.panels import Line, Panel, panels


def test_panels_write_every_curve() -> None:
    x, y = np.arange(3.0), np.array([1.0, 10.0, 100.0])
    picture = panels(
        [
            Panel("left", {"a": Line(x, y, y / 2, y * 2, look="both"),
                           "line": Line(x, y, look="reference")}, "x (1)", "y (s)", "y"),
            Panel("right", {"_b": Line(x[:2], y[:2], look="points")}, "x (1)", "y (s)"),
            Panel("last", {"c": Line(x, y)}, "x (1)", "y (s)", levels=(5.0,), limits=(0, 200)),
        ],
        columns=2, name="name", title="Title", alt="Words",
    )  # fmt: skip
    data = picture.data
    assert data["left a: y (s)"].tolist() == y.tolist()
    assert data["left a: high"].tolist() == (2 * y).tolist()
    assert data["right b: y (s)"].dropna().tolist() == [1.0, 10.0]
    left, right, last, spare = picture.figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear")
    assert right.get_legend() is None
    assert left.get_legend() is not None
    assert last.get_ylim() == (0, 200)
    assert not spare.get_visible()
    curve, reference = left.lines
    assert curve.get_xydata().tolist() == np.stack([x, y], axis=1).tolist()
    assert reference.get_xydata().tolist() == np.stack([x, y], axis=1).tolist()
    band = left.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(0, 0.5), (0, 2), (2, 50), (2, 200)}
    assert right.lines[0].get_xydata().tolist() == [[0, 1], [1, 10]]
    assert [list(line.get_ydata()) for line in last.lines] == [y.tolist(), [5.0, 5.0]]
    assert [axes.get_title(loc="left") for axes in (left, right, last)] == ["left", "right", "last"]
    assert picture.png.startswith(b"\x89PNG")


def test_dot_plot_names_every_run() -> None:
    picture = dot_plot(
        {"training": {"a": [1.0, 2.0, 3.0], "b": [2.0, 2.0, 2.0]},
         "validation": {"a": [4.0, 5.0, 6.0], "b": [9.0, 9.0, 9.0]}},
        xlabel="loss (1)", name="dots", title="Title", logarithmic=True,
    )  # fmt: skip
    assert picture.data.shape == (4, 8)
    assert picture.data["run 3"].tolist() == [3.0, 2.0, 6.0, 9.0]
    (axes,) = picture.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_legend() is not None
    runs, interval, mean = axes.lines[:3]
    assert list(runs.get_xdata()) == [1.0, 2.0, 3.0]
    assert list(mean.get_xdata()) == [2.0]
    far = 4.302652729911275 / np.sqrt(3)
    assert list(interval.get_xdata()) == pytest.approx([2 - far, 2 + far])
    heights = [line.get_ydata()[0] for line in axes.lines[2::3]]  # of the means, row by row
    assert heights == pytest.approx([-0.13, 0.87, 0.13, 1.13])
    assert "b 9 (9 to 9, validation)" in picture.alt
