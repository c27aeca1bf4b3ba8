"""What a run reports of its attractor: climate, its floor, and Lyapunov exponents."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from hpcbench.cli import main
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.errors import InputError
from hpcbench.forecasting.attractor import Attractor, AttractorConfig, explore
from hpcbench.forecasting.model_lyapunov import LyapunovSpectrum
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, training_scaling
from hpcbench.parallel.communicator import communicator

WARM_UP, EXPONENT = 10, 1.5


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def dataset(lorenz96_file: Path) -> Iterator[Dataset]:
    with open_dataset(lorenz96_file) as opened:
        yield opened


def look(dataset: Dataset, free_run: Any = None, **settings: Any) -> Any:
    torch.manual_seed(0)
    forecaster = Forecaster(ModelConfig(hidden=4, halo=1), training_scaling(dataset))
    config = AttractorConfig(**settings)
    ranks = communicator("none")
    return explore(forecaster, dataset, config, WARM_UP, EXPONENT, ranks, free_run)


def test_nothing_is_looked_at_by_default(dataset: Dataset) -> None:
    assert look(dataset) is None


def test_the_truth_as_a_forecast_has_no_distance(dataset: Dataset) -> None:
    def the_truth(warm: np.ndarray, steps: int) -> np.ndarray:
        members = dataset.members("test")[: len(warm)]
        whole = np.stack([dataset.trajectory(m) for m in members]).astype(np.float64)
        np.testing.assert_array_equal(whole[:, :WARM_UP], warm)
        return whole[:, WARM_UP : WARM_UP + steps]

    found = look(dataset, the_truth, climate=2.0, runs=4)
    values = {metric.name: metric for metric in found.metrics()}
    for name in ("mean", "spread", "distribution", "state_space", "spectrum_decibel"):
        assert values[f"climate_{name}"].value == pytest.approx(0, abs=1e-12)
        assert values[f"climate_{name}"].better == "lower"
        assert values[f"climate_{name}_of_truth"].value > 0.001
    assert values["divergence_rate"].value == 0
    assert values["climate_mean"].n == 4


def test_a_forecast_that_stands_still_is_farther_than_the_floor(dataset: Dataset) -> None:
    found = look(
        dataset, lambda warm, steps: np.repeat(warm[:, -1:], steps, axis=1), climate=2.0, runs=4
    )
    for name in ("correlation", "spectrum_hellinger", "spectrum_decibel"):
        assert getattr(found.climate, name) > getattr(found.floor, name)


def test_more_runs_than_validation_trajectories_have_no_floor(dataset: Dataset) -> None:
    class NoValidation(Dataset):
        def members(self, split: Any) -> np.ndarray:
            return super().members(split)[: 0 if split == "validation" else None]

    with NoValidation(dataset.path) as other:
        found = look(other, lambda warm, steps: warm[:, -1:].repeat(steps, 1), climate=1.0, runs=2)
    assert found.floor is None
    assert not any(metric.name.endswith("of_truth") for metric in found.metrics())


def test_exponents_of_a_forecaster_without_a_head_are_zero(dataset: Dataset) -> None:
    """Its state never moves, so neighbouring states keep their distance."""
    torch.manual_seed(0)
    forecaster = Forecaster(ModelConfig(hidden=4, halo=1), training_scaling(dataset))
    torch.nn.init.zeros_(forecaster.head.weight)  # type: ignore[arg-type]
    config = AttractorConfig(exponents=3, exponent_time=4.0)
    found = explore(
        forecaster, dataset, config, WARM_UP, EXPONENT, communicator("none"), lambda w, n: w
    )
    assert found is not None
    assert found.spectrum is not None
    assert found.spectrum.rates.shape == (4, 3)
    np.testing.assert_allclose(found.spectrum.exponents, 0, atol=0.01)


def test_the_dimension_is_reported_where_the_exponents_reach_it() -> None:
    for rates, dimension in (([[0.9, 0.0], [0.7, 0.1]], None), ([[0.9, 0.0, -10]] * 2, 2.09)):
        spectrum = LyapunovSpectrum(np.array(rates, dtype=np.float64))
        values = {m.name: m.value for m in Attractor(1, None, None, 0.0, spectrum).metrics()}
        assert values["model_lyapunov_exponent"] == pytest.approx(np.mean([r[0] for r in rates]))
        assert values.get("model_kaplan_yorke_dimension") == pytest.approx(dimension)


def test_what_the_dataset_cannot_give_is_refused(dataset: Dataset) -> None:
    for settings, message in (
        ({"climate": 1.0, "runs": 5}, "runs: given 5, .* 1 to 4"),
        ({"climate": 3.0, "runs": 4}, "climate: given 3 .* room for 0.12 to 2.85"),
        ({"climate": 0.05, "runs": 4}, "room for 0.12"),
    ):
        with pytest.raises(InputError, match=message):
            AttractorConfig(**settings).check_fits(dataset, WARM_UP, EXPONENT)  # type: ignore[arg-type]
    AttractorConfig(runs=1000).check_fits(dataset, WARM_UP, EXPONENT)


def test_a_forecast_reports_its_attractor(
    tmp_path: Path, train_spec: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    spec = ["train", str(train_spec()), "--out", str(run), "--train.steps", "10"]
    assert main([*spec, "--forecast.attractor.climate", "9", "--forecast.attractor.runs", "4"]) == 2
    assert "forecast.attractor.climate: given 9" in capsys.readouterr().err
    assert not run.exists()
    assert main(spec) == 0
    asked = ["--forecast.attractor.climate", "1.5", "--forecast.attractor.runs", "4"]
    asked += ["--forecast.attractor.exponents", "2", "--forecast.attractor.exponent_time", "0.3"]
    out = tmp_path / "attractor"
    assert main(["forecast", str(run), "--out", str(out), *asked]) == 0
    result = json.loads((out / "result.json").read_text())
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert 0 <= values["climate_spectrum_hellinger"] <= 1
    assert np.isfinite(values["model_lyapunov_exponent"])
    with h5py.File(out / "forecast.h5") as file:
        assert file["model_lyapunov_exponents"].shape == (2,)
