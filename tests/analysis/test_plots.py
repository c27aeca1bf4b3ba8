from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis import plots
from analysis.plots.style import COLOURS, Picture, file_name


def check(picture: Picture, folder: Path) -> None:
    png, svg, csv = picture.write(folder)
    with Image.open(png) as image:
        assert image.width == 1120
        assert np.ptp(np.asarray(image.convert("L"))) > 200
    assert svg.read_text().lstrip().startswith("<?xml")
    assert len(pd.read_csv(csv)) > 0
    assert len(picture.alt) > 30
    assert picture.data_uri().startswith("data:image/png;base64,")


def field(num_times: int = 50, num_sites: int = 12) -> np.ndarray:
    return np.sin(np.arange(num_times)[:, None] / 5 + np.arange(num_sites))


def test_space_time_with_forecast(tmp_path: Path) -> None:
    truth = field()
    picture = plots.space_time(truth, 0.9 * truth, time=np.arange(50) / 10, vpt=2.0)
    assert len([a for a in picture.figure.axes if a.get_label() != "<colorbar>"]) == 3
    assert picture.figure.axes[2].get_xlabel() == "time (Lyapunov times)"
    assert "valid for 2.00 Lyapunov times" in picture.alt
    check(picture, tmp_path)


def test_space_time_of_a_dataset_alone_and_of_a_long_one(tmp_path: Path) -> None:
    truth = field(5000)
    picture = plots.space_time(truth, time=np.arange(5000.0), time_label="time (model time units)")
    assert len([a for a in picture.figure.axes if a.get_label() != "<colorbar>"]) == 1
    assert len(picture.data) <= 1200
    check(picture, tmp_path)


def test_an_exploded_forecast_is_drawn_as_far_as_it_is_finite(tmp_path: Path) -> None:
    truth = field()
    forecast = truth.copy()
    forecast[20:] = np.nan
    check(plots.space_time(truth, forecast, time=np.arange(50.0)), tmp_path)


def test_nrmse_over_time(tmp_path: Path) -> None:
    time = np.linspace(0.1, 5, 40)
    nrmse = np.exp(time)[None] * np.array([[0.01], [0.02], [0.03]])
    nrmse[0, -1] = np.inf
    picture = plots.nrmse_over_time(
        {"lstm": (time, nrmse), "gru": (time[:20], nrmse[:, :20])},
        references={"persistence": (time, time)},
    )
    assert picture.data["lstm median"][0] == pytest.approx(0.02 * np.exp(0.1))
    check(picture, tmp_path)


def test_loss_curves_of_unequal_length(tmp_path: Path) -> None:
    curves = {"1 rank": np.exp(-np.arange(50) / 9), "2 ranks": np.exp(-np.arange(30) / 9)}
    validation = {"2 ranks": (np.array([0, 10]), np.array([1.0, 0.5]))}
    check(plots.loss_curves(curves, validation=validation), tmp_path)


def test_losses_that_are_not_positive_get_a_linear_axis(tmp_path: Path) -> None:
    picture = plots.loss_curves({"a": np.array([-1.0, -2.0, -3.0])})
    assert picture.figure.axes[0].get_yscale() == "linear"
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
