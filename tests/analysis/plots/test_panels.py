"""Small multiples and dot plots: what is drawn is what is written."""

import numpy as np
import pytest

from analysis.plots.dots import dot_plot, few_runs_interval
from analysis.plots.panels import Curve, Panel, panels


def test_panels_write_every_curve() -> None:
    x, y = np.arange(3.0), np.array([1.0, 10.0, 100.0])
    picture = panels(
        [
            Panel("left", {"a": Curve(x, y, y / 2, y * 2, look="both"),
                           "line": Curve(x, y, look="reference")}, "x (1)", "y (s)", "y"),
            Panel("right", {"_b": Curve(x[:2], y[:2], look="points")}, "x (1)", "y (s)"),
            Panel("last", {"c": Curve(x, y)}, "x (1)", "y (s)", levels=(5.0,), limits=(0, 200)),
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
    assert picture.png.startswith(b"\x89PNG")


def test_few_runs_interval_is_students() -> None:
    interval = few_runs_interval([1.0, 2.0, 3.0])
    assert interval.value == 2.0
    assert interval.high - 2.0 == pytest.approx(4.302652729911275 / np.sqrt(3))
    assert 2.0 - interval.low == pytest.approx(4.302652729911275 / np.sqrt(3))
    alone = few_runs_interval([5.0])
    assert alone.value == 5.0
    assert np.isnan([alone.low, alone.high]).all()


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
    assert "b 9 (9 to 9, validation)" in picture.alt
