"""``hpcbench embed``: its table, its JSON document and its picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.plots.embedding import embedding
from hpcbench.cli import main
from hpcbench.data.dataset import open_dataset
from hpcbench.data.format import Header
from hpcbench.data.writer import write_dataset
from hpcbench.embedding.diagnosis import diagnose

ANGLE = 0.05


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sines a quarter period apart with random phases; correlation cos(0.05 lag)."""
    path = tmp_path_factory.mktemp("embed") / "rotation.h5"
    header = Header(
        system="rotation", parameters={}, integrator="exact", step=0.5, sample_interval=0.5,
        spin_up=0.0, seed=0, num_trajectories=40, num_samples=1000, num_components=2,
        dtype="float64", split=(38, 1, 1), lyapunov_exponent=0.1, lyapunov_source="made up",
    )  # fmt: skip
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(40, 1)) + ANGLE * np.arange(1000)
    write_dataset(path, header, np.stack([np.cos(phase), np.sin(phase)], axis=-1))
    return path


def test_json_document(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "out.png"
    assert main(["embed", str(data), "--json", "--picture", str(picture)]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["components"] == [0, 1]
    assert document["picture"] == str(picture)
    table = {row["name"]: (row["value"], row["unit"]) for row in document["results"]}
    decay = table["autocorrelation_decay.samples"][0]
    assert decay == pytest.approx(np.arccos(1 / np.e) / ANGLE, abs=1)
    assert table["autocorrelation_decay.model_time"] == (decay * 0.5, "model time units")
    assert table["autocorrelation_decay.lyapunov_times"] == (decay * 0.05, "Lyapunov times")
    assert table["dimension_false_neighbours"][0] == 2
    assert table["components_99_percent"][0] == 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in captured.err


def test_table(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(data), "--component", "1", "--max-lag", "80"]) == 0
    shown = capsys.readouterr().out
    assert "recommended delay" in shown
    assert "Lyapunov times" in shown
    assert "Delays that unfold component 1: 2 by false neighbours" in shown
    for score in ("S1", "S2", "S3", "S4", "S5", "S6", "S7"):
        assert f"\n{score}  " in shown


def test_picture_holds_its_numbers(data: Path) -> None:
    with open_dataset(data) as dataset:
        found = diagnose(dataset, max_lag=80)
    picture = embedding(found, title="rotation")
    assert picture.alt.startswith("rotation: autocorrelation")
    assert "Lyapunov times" in picture.alt
    np.testing.assert_array_equal(picture.data["autocorrelation"].dropna(), found.correlation)
    np.testing.assert_allclose(picture.data["lag"].dropna(), np.arange(81) * 0.05)
    assert found.unfolding is not None
    correlation, information, neighbours, components = picture.figure.axes
    curve = correlation.lines[0].get_xydata()
    np.testing.assert_allclose(curve, np.stack([np.arange(81) * 0.05, found.correlation], axis=1))
    np.testing.assert_array_equal(
        information.lines[0].get_ydata(), found.information / found.information[0]
    )
    drawn = {line.get_label(): line.get_ydata() for line in neighbours.lines}
    np.testing.assert_array_equal(drawn["false neighbours"], found.unfolding.false_share)
    np.testing.assert_array_equal(drawn["Cao's E1"], found.unfolding.e1)
    np.testing.assert_array_equal(drawn["Cao's E2"], found.unfolding.e2)
    held = np.cumsum(found.principal.variances) / found.principal.variances.sum()
    np.testing.assert_array_equal(components.lines[0].get_ydata(), held)


def test_bad_input_is_one_message(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(data), "--component", "2"]) == 2
    assert "--component: given 2" in capsys.readouterr().err
    assert main(["embed", str(data.with_name("rotatoin.h5"))]) == 2
    assert 'did you mean "rotation.h5"' in capsys.readouterr().err
    assert main(["embed", str(data), "--picture", str(tmp_path / "no" / "out.png")]) == 2
    assert "cannot be written" in capsys.readouterr().err
