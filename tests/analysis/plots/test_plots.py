from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from PIL import Image

from analysis import plots
from analysis.plots.style import COLOURS, Picture, canvas, file_name, legend
from analysis.records.collect import collect
from analysis.statistics.fitting import fit
from analysis.statistics.laws import AMDAHL, RING
from analysis.tables.curves import raw_points, read_curves
from analysis.tables.fits import fit_curves, law_curves
from analysis.tables.scaling import scaling_table


def check(picture: Picture, folder: Path, width: int = 1120) -> None:
    png, svg, csv = picture.write(folder)
    with Image.open(png) as image:
        assert image.width == width
        assert np.ptp(np.asarray(image.convert("L"))) > 200
    assert svg.read_text().lstrip().startswith("<?xml")
    assert len(pd.read_csv(csv)) > 0
    assert len(picture.alt) > 30
    assert picture.data_uri().startswith("data:image/png;base64,")


def drawn(axes: Axes) -> dict[str, np.ndarray]:
    """Return label → points (x, y) of the lines drawn, error bars' own among them."""
    lines = {str(line.get_label()): line for line in axes.lines}
    bars = {str(bar.get_label()): bar.lines[0] for bar in axes.containers
            if isinstance(bar, ErrorbarContainer)}  # fmt: skip
    return {label: np.asarray(line.get_xydata()) for label, line in (lines | bars).items()}


def reach(axes: Axes) -> list[np.ndarray]:
    """Return the ends of all error bars, (bar, end, coordinate) of every curve."""
    return [np.asarray(bar.lines[2][0].get_segments()) for bar in axes.containers
            if isinstance(bar, ErrorbarContainer)]  # fmt: skip


def words(axes: Axes) -> list[str]:
    """Return what is written into the axes."""
    return [text.get_text() for text in axes.texts]


def image(axes: Axes) -> np.ndarray:
    """Return the numbers of the picture in the axes, (vertical, horizontal)."""
    return np.asarray(axes.images[0].get_array())


def field(num_times: int = 50, num_sites: int = 12) -> np.ndarray:
    return np.sin(np.arange(num_times)[:, None] / 5 + np.arange(num_sites))


def test_space_time_with_forecast(tmp_path: Path) -> None:
    truth = field()
    picture = plots.space_time(truth, 0.9 * truth, time=np.arange(50) / 10, vpt=2.0)
    assert len([a for a in picture.figure.axes if a.get_label() != "<colorbar>"]) == 3
    assert picture.figure.axes[2].get_xlabel() == "time (Lyapunov times)"
    assert "valid for 2.00 Lyapunov times" in picture.alt
    top, middle, bottom = picture.figure.axes[:3]
    np.testing.assert_array_equal(image(top), truth.T)
    np.testing.assert_array_equal(image(middle), 0.9 * truth.T)
    np.testing.assert_allclose(image(bottom), 0.1 * np.abs(truth.T), atol=1e-15)
    assert middle.images[0].get_clim() == top.images[0].get_clim() == (truth.min(), truth.max())
    assert top.images[0].get_extent() == pytest.approx([0, 4.9, -0.5, 11.5])
    for axes in (top, middle, bottom):
        assert axes.lines[0].get_xdata() == [2.0, 2.0]
    assert [axes.get_title(loc="left") for axes in (top, middle, bottom)] == [
        "truth", "forecast", "|forecast − truth|",
    ]  # fmt: skip
    np.testing.assert_array_equal(picture.data["forecast 11"], 0.9 * truth[:, 11])
    check(picture, tmp_path)


def test_space_time_of_a_dataset_alone_and_of_a_long_one(tmp_path: Path) -> None:
    truth = field(5000)
    picture = plots.space_time(truth, time=np.arange(5000.0), time_label="time (model time units)")
    assert len([a for a in picture.figure.axes if a.get_label() != "<colorbar>"]) == 1
    assert len(picture.data) <= 1200
    np.testing.assert_array_equal(image(picture.figure.axes[0]), truth[::5].T)
    np.testing.assert_array_equal(picture.data["time (model time units)"], np.arange(0, 5000, 5))
    check(picture, tmp_path)


def test_an_exploded_forecast_is_drawn_as_far_as_it_is_finite(tmp_path: Path) -> None:
    truth = field()
    forecast = truth.copy()
    forecast[20:] = np.nan
    picture = plots.space_time(truth, forecast, time=np.arange(50.0))
    shown = image(picture.figure.axes[1])
    np.testing.assert_array_equal(shown[:, :20], truth[:20].T)
    assert np.ma.getmaskarray(picture.figure.axes[1].images[0].get_array())[:, 20:].all()
    check(picture, tmp_path)


def test_nrmse_over_time(tmp_path: Path) -> None:
    time = np.linspace(0.1, 5, 40)
    nrmse = np.exp(time)[None] * np.array([[0.01], [0.02], [0.03]])
    nrmse[0, -1] = np.inf
    picture = plots.nrmse_over_time(
        {"lstm": (time, nrmse), "gru": (time[:20], nrmse[:, :20])},
        references={"persistence": (time, time)},
    )
    assert picture.data["lstm median"][0] == pytest.approx(0.02 * np.exp(0.1))
    (axes,) = picture.figure.axes
    curves = drawn(axes)
    median = 0.02 * np.exp(time)
    median[-1] *= 1.5  # one of the three has exploded there
    np.testing.assert_allclose(curves["lstm"], np.stack([time, median], axis=1))
    assert curves["gru"].shape == (20, 2)
    np.testing.assert_array_equal(curves["persistence"], np.stack([time, time], axis=1))
    band = axes.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(band[:, 1].min(), 0.01 * np.exp(0.1))
    assert any(list(line.get_ydata()) == [0.5, 0.5] for line in axes.lines)
    assert words(axes) == ["valid below 0.5"]
    check(picture, tmp_path)


def test_loss_curves_of_unequal_length(tmp_path: Path) -> None:
    curves = {"1 rank": np.exp(-np.arange(50) / 9), "2 ranks": np.exp(-np.arange(30) / 9)}
    validation = {"2 ranks": (np.array([0, 10]), np.array([1.0, 0.5]))}
    picture = plots.loss_curves(curves, validation=validation)
    (axes,) = picture.figure.axes
    lines = drawn(axes)
    for label, loss in curves.items():
        np.testing.assert_array_equal(
            lines[label], np.stack([np.arange(1, len(loss) + 1), loss], axis=1)
        )
    open_points = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_array_equal(open_points[0].get_xydata(), [[0, 1.0], [10, 0.5]])
    assert axes.get_yscale() == "log"
    check(picture, tmp_path)


def test_losses_that_are_not_positive_get_a_linear_axis(tmp_path: Path) -> None:
    picture = plots.loss_curves({"a": np.array([-1.0, -2.0, -3.0])})
    assert picture.figure.axes[0].get_yscale() == "linear"
    assert drawn(picture.figure.axes[0])["a"].tolist() == [[1, -1], [2, -2], [3, -3]]
    check(picture, tmp_path)


def test_colours_differ_in_lightness_or_hue_for_every_reader() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == 8


@pytest.mark.parametrize("text", ["a/b", "../../etc", "x y", "", "…", "a" * 300])
def test_file_names_are_plain(text: str) -> None:
    name = file_name(text)
    assert name
    assert len(name) <= 80
    assert "/" not in name
    assert "." not in name


RANKS = pd.DataFrame({"ranks": np.repeat([1.0, 2.0, 4.0, 8.0], 6)})


def strong_runs() -> pd.DataFrame:
    noise = np.exp(0.02 * np.random.default_rng(0).standard_normal(24))
    return RANKS.assign(seconds=(0.05 + 0.95 / RANKS["ranks"]) * noise)


def test_laws_bounds_and_projection_in_the_scaling_picture(runs: Any, tmp_path: Path) -> None:
    for ranks in (1, 2, 4, 8):
        for k in range(2):
            runs.done(f"p{ranks}-{k}", ranks, step_seconds=[0.05 + 0.95 / ranks] * 9, vpt=None)
    curves = read_curves(collect([runs.root]))
    laws = law_curves(fit_curves(curves)[0], project=64)
    picture = plots.scaling(scaling_table(curves), raw_points(curves), laws)
    words = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert "ideal" in words
    assert "Amdahl fit" in words
    assert "Amdahl, projection" in words
    assert laws["is_projection"].sum() > 0
    assert (laws[laws["is_projection"]]["ranks"] > 16).all()
    left, right = picture.figure.axes
    ranks = np.array([1, 2, 4, 8])
    seconds = 0.05 + 0.95 / ranks
    time, efficiency = drawn(left), drawn(right)
    np.testing.assert_allclose(time["horovod"], np.stack([ranks, seconds], axis=1))
    np.testing.assert_allclose(time["ideal"], np.stack([ranks, 1 / ranks], axis=1))
    np.testing.assert_allclose(
        efficiency["horovod"], np.stack([ranks, 1 / (ranks * seconds)], axis=1)
    )
    amdahl = laws[laws["law"] == "Amdahl"]
    for label, beyond in (("Amdahl fit", False), ("Amdahl, projection", True)):
        shown = amdahl[amdahl["is_projection"] == beyond][["ranks", "seconds"]]
        np.testing.assert_array_equal(time[label], shown)
    assert time["Amdahl, projection"][-1] == pytest.approx([64, 0.05 + 0.95 / 64], rel=1e-3)
    raw = next(line for line in left.lines if line.get_alpha() == 0.35)
    assert sorted(raw.get_xdata()) == [1, 1, 2, 2, 4, 4, 8, 8]
    check(picture, tmp_path)


def test_fractions(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"ranks": [1, 2], "step_seconds": [1.0, 0.6], "compute_seconds": [0.9, 0.45],
         "data_seconds": [0.05, 0.05], "exposed_seconds": [0.05, 0.1],
         "exposed_from": ["back end none"] * 2}
    )  # fmt: skip
    picture = plots.fractions(table)
    (axes,) = picture.figure.axes
    bars = {bar.get_label(): [(patch.get_y(), patch.get_height()) for patch in bar]
            for bar in axes.containers}  # fmt: skip
    assert list(bars) == ["compute", "data wait", "exposed communication"]
    np.testing.assert_allclose(bars["compute"], [(0, 0.9), (0, 0.75)])
    np.testing.assert_allclose(bars["data wait"], [(0.9, 0.05), (0.75, 0.05 / 0.6)])
    np.testing.assert_allclose(
        bars["exposed communication"], [(0.95, 0.05), (0.5 / 0.6, 0.1 / 0.6)]
    )
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2"]
    assert words(axes) == ["1 s", "0.6 s"]
    check(picture, tmp_path, width=896)
    rest = plots.fractions(table.assign(exposed_from="the rest of the step"))
    assert rest.figure.axes[0].containers[2].get_label() == "rest: communication, optimiser"


def test_time_to_quality(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"ranks": [1, 2, 4], "e_tts": [1, 0.8, 0.5], "e_system": [1, 0.9, 0.8],
         "e_algorithmic": [1, 0.9, 0.6], "e_tts_low": [1, 0.7, np.nan],
         "e_tts_high": [1, 0.9, np.nan]}
    )  # fmt: skip
    picture = plots.time_to_quality(table)
    (axes,) = picture.figure.axes
    lines = drawn(axes)
    for label, column in (("system", "e_system"), ("algorithm", "e_algorithmic"),
                          ("time to target", "e_tts")):  # fmt: skip
        np.testing.assert_array_equal(lines[label], table[["ranks", column]])
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(2, 0.7), (2, 0.9), (4, 0.5)}
    check(picture, tmp_path, width=896)


def test_skill_and_cost(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"label": ["lstm", "lstm", "esn"], "training_seconds": [1.0, 10.0, 0.5],
         "vpt_mean": [3.0, 5.0, 2.0], "vpt_low": [2.5, 4.5, np.nan],
         "vpt_high": [3.5, 5.5, np.nan], "on_front": [True, True, True]}
    )  # fmt: skip
    picture = plots.skill_and_cost(table)
    (axes,) = picture.figure.axes
    assert axes.get_xscale() == "log"
    points = drawn(axes)
    assert points["lstm"].tolist() == [[1, 3], [10, 5]]
    assert points["esn"].tolist() == [[0.5, 2]]
    assert points["nothing is cheaper and better"].tolist() == [[0.5, 2], [1, 3], [10, 5]]
    esn, lstm = reach(axes)
    assert esn.tolist() == [[[0.5, 2], [0.5, 2]]]
    assert lstm.tolist() == [[[1, 2.5], [1, 3.5]], [[10, 4.5], [10, 5.5]]]
    check(picture, tmp_path)


def test_allreduce_with_its_law(tmp_path: Path) -> None:
    rows = [(p, n, 2 * (p - 1) * 2e-5 + 2 * (p - 1) / p * n * 1e-9)
            for p in (2, 4) for n in (1e3, 1e5, 1e7) for _ in range(3)]  # fmt: skip
    runs = pd.DataFrame(rows, columns=["ranks", "bytes", "seconds"])
    law = fit(RING, runs)
    picture = plots.allreduce(runs, law)
    assert "2(p - 1) a" in picture.alt
    (axes,) = picture.figure.axes
    points = drawn(axes)
    for ranks in (2, 4):
        assert points[f"{ranks} ranks"].tolist() == [
            [n, pytest.approx(2 * (ranks - 1) * 2e-5 + 2 * (ranks - 1) / ranks * n * 1e-9)]
            for n in (1e3, 1e5, 1e7)
        ]
    curves = [line for line in axes.lines if len(line.get_xdata()) == 60]
    assert len(curves) == 2
    assert curves[1].get_ydata()[-1] == pytest.approx(6 * 2e-5 + 1.5 * 1e7 * 1e-9, rel=1e-3)
    check(picture, tmp_path)
    check(plots.allreduce(runs), tmp_path)


def test_rank_heat_map_shows_the_straggler(tmp_path: Path) -> None:
    seconds = np.full((1000, 4), 0.1)
    seconds[:, 2] = 0.15
    picture = plots.rank_heat_map(seconds)
    assert len(picture.data) == 400
    assert (picture.data["rank 2"] > picture.data["rank 1"]).all()
    axes = picture.figure.axes[0]
    np.testing.assert_allclose(image(axes), np.repeat([[1.0], [1.0], [1.5], [1.0]], 400, axis=1))
    assert axes.images[0].get_extent() == [0, 1000, -0.5, 3.5]
    check(picture, tmp_path)


def test_residuals(tmp_path: Path) -> None:
    found = fit(AMDAHL, strong_runs())
    picture = plots.residuals([found])
    assert picture.data["residual_share"].abs().max() < 0.1
    (axes,) = picture.figure.axes
    shown = drawn(axes)["Amdahl"]
    np.testing.assert_array_equal(shown[:, 0], found.points["ranks"])
    np.testing.assert_allclose(shown[:, 1], 100 * np.expm1(found.points["residual"]))
    assert len(shown) == 4
    check(picture, tmp_path)


def test_forest(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"label": ["ddp / horovod, 2 ranks", "mpi / horovod, 2 ranks"], "ratio": [1.1, 0.97],
         "ratio_low": [1.05, np.nan], "ratio_high": [1.15, np.nan],
         "verdict": ["slower", "undecided"]}
    )  # fmt: skip
    picture = plots.forest(table)
    (axes,) = picture.figure.axes
    wide, narrow = reach(axes)
    np.testing.assert_allclose(wide, [[[1.05, 0], [1.15, 0]]])
    np.testing.assert_allclose(narrow, [[[0.97, 1], [0.97, 1]]])
    assert [label.get_text() for label in axes.get_yticklabels()] == list(table["label"])
    assert words(axes) == ["slower", "undecided"]
    grey = axes.patches[0]
    assert (grey.get_x(), grey.get_x() + grey.get_width()) == pytest.approx((1 / 1.05, 1.05))
    check(picture, tmp_path)


def test_gantt(tmp_path: Path) -> None:
    spans = pd.DataFrame(
        [("a", "queue", 0, 5, "done"), ("a", "run", 5, 20, "done"), ("b", "run", 3, 9, "failed")],
        columns=["run", "phase", "begin", "end", "state"],
    )
    picture = plots.gantt(spans)
    (axes,) = picture.figure.axes
    bars = [(bar.get_x(), bar.get_width(), round(bar.get_y() + bar.get_height() / 2))
            for bar in axes.patches]  # fmt: skip
    assert bars == [(0, 5, 0), (5, 15, 0), (3, 6, 1)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    key = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert key == ["queue", "run", "run, failed"]
    assert axes.patches[2].get_facecolor() != axes.patches[1].get_facecolor()
    check(picture, tmp_path)


def test_climate_pictures(tmp_path: Path) -> None:
    wavenumber = np.arange(1, 20)
    curves = {"truth": (wavenumber, 1.0 / wavenumber), "lstm": (wavenumber, 1.1 / wavenumber)}
    picture = plots.spectra(curves)
    (axes,) = picture.figure.axes
    for label, (_, power) in curves.items():
        np.testing.assert_array_equal(drawn(axes)[label], np.stack([wavenumber, power], axis=1))
    assert axes.get_yscale() == "log"
    check(picture, tmp_path, width=896)
    exponents = {"truth": np.array([-2.0, 1.0, 0.0]), "lstm": np.array([0.9, 0.1, -1.8])}
    picture = plots.lyapunov_spectra(exponents)
    assert list(picture.data["truth"]) == [1.0, 0.0, -2.0]
    assert drawn(picture.figure.axes[0])["lstm"].tolist() == [[1, 0.9], [2, 0.1], [3, -1.8]]
    check(picture, tmp_path, width=896)
    time = np.linspace(0, 20, 300)
    orbit = np.stack([np.sin(time), np.cos(time), time], axis=1)
    picture = plots.attractors({"truth": orbit, "lstm": 0.9 * orbit}, components=(0, 2))
    left, right = picture.figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), orbit[:, [0, 2]])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), 0.9 * orbit[:, [0, 2]])
    assert (left.get_title(), right.get_title()) == ("truth", "lstm")
    check(picture, tmp_path, width=1088)


def test_long_titles_take_several_lines() -> None:
    words = " ".join(["where", "the", "time", "of", "a", "step", "goes"] * 5)
    with canvas(width=5.6) as figure:
        figure.suptitle(words)
        figure.subplots().set_title(words)
    figure.draw_without_rendering()
    for title in (figure.texts[0], figure.axes[0].title):
        assert title.get_text().replace("\n", " ") == words
        extent = title.get_window_extent()
        assert extent.x0 >= 0
        assert extent.x1 <= figure.bbox.x1


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("letters", [5, 30, 45, 100])
def test_a_legend_leaves_the_axes_their_room(count: int, letters: int) -> None:
    with canvas() as figure:
        axes = figure.subplots()
        for number in range(count):
            label = f"{number} " + ("word " * 20)[: letters - 2]
            axes.plot([0, 1], [0, number], label=label)
        legend(axes)
    figure.canvas.draw()
    legends = figure.legends or [axes.get_legend()]
    shown = legends[0].get_window_extent()
    room = axes.get_window_extent()
    assert room.width > 0.4 * figure.bbox.width
    assert room.height > 0.5 * 3.0 * figure.dpi
    assert figure.bbox.x0 <= shown.x0
    assert shown.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= shown.y0
    assert not (figure.legends and shown.y1 > room.y0), "below, not over the curves"
