"""Forecasts: the oracle is right for ever, scores follow the definition, starts do not overlap."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pytest
import torch

from hpcbench.cli import main
from hpcbench.data.dataset import open_dataset
from hpcbench.errors import InputError
from hpcbench.forecasting.evaluation import Evaluation, ForecastConfig, evaluate, initial_conditions
from hpcbench.forecasting.free_run import free_run
from hpcbench.forecasting.metrics import nrmse
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, State, training_scaling
from hpcbench.parallel.communicator import communicator

DECAY = 0.9


class Oracle(Forecaster):
    """Knows the map x → 0.9 x of its data; only the network is replaced."""

    def forward(
        self, normalised: torch.Tensor, state: State | None, halo_given: bool = False
    ) -> tuple[torch.Tensor, State]:
        states = self.restore(normalised.double())
        return self.scaled_target(normalised, self.normalise(DECAY * states)), ()


def test_the_oracle_forecasts_for_ever(lorenz96_file: Path) -> None:
    with open_dataset(lorenz96_file) as dataset:
        scaling = training_scaling(dataset)
    oracle = Oracle(ModelConfig(), scaling)
    oracle.set_dtype(torch.float64)
    start = np.random.default_rng(0).normal(size=(3, 12))
    truth = start[:, None] * DECAY ** np.arange(60)[:, None]
    with closing(communicator("none")) as ranks:
        predicted = free_run(oracle, truth[:, :10], 50, ranks)
    np.testing.assert_allclose(predicted, truth[:, 10:], rtol=1e-12, atol=1e-12)
    assert nrmse(predicted, truth[:, 10:], scaling.std).max() < 1e-12


def evaluation(error: list[list[float]]) -> Evaluation:
    errors = np.array(error)
    return Evaluation(
        config=ForecastConfig(threshold=0.5),
        sample_interval=0.1,
        lyapunov_exponent=2.5,
        error=errors,
        persistence_error=np.full_like(errors, 0.6),
        climatology_error=np.ones_like(errors),
        truth=np.zeros((1, errors.shape[1], 2)),
        forecast=np.zeros((1, errors.shape[1], 2)),
        seconds=1.0,
    )


def test_scores_of_a_hand_computed_example(tmp_path: Path) -> None:
    result = evaluation([[0.1, 0.2, 0.6, 0.1], [0.1, 0.1, 0.1, 0.2]])
    values = {metric.name: metric.value for metric in result.metrics()}
    # two and four leading samples of a quarter Lyapunov time; the second outlasts the data
    assert values["vpt_mean"] == pytest.approx(0.75)
    assert values["vpt_median"] == pytest.approx(0.75)
    assert values["vpt_standard_error"] == pytest.approx(0.25)
    assert values["vpt_censored_share"] == 0.5
    assert values["vpt_persistence"] == 0
    assert values["nrmse_0.25"] == pytest.approx(0.1)
    assert values["nrmse_0.5"] == pytest.approx(0.15)
    assert values["nrmse_1"] == pytest.approx(0.15)
    assert "nrmse_2" not in values
    result.write(tmp_path / "forecast.h5")
    with h5py.File(tmp_path / "forecast.h5") as file:
        assert file["time_lyapunov"][()].tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0])
        assert file["vpt"][()].tolist() == pytest.approx([0.5, 1.0])
        assert file["censored"][()].tolist() == [False, True]


@pytest.mark.parametrize("split", ["test", "validation"])
def test_starts_are_trajectories_of_the_split_that_do_not_overlap(
    lorenz96_file: Path, split: Literal["test", "validation"]
) -> None:
    config = ForecastConfig(
        initial_conditions=8, split=split, warm_up=20, horizon=0.5, lyapunov_exponent=1.5
    )
    with open_dataset(lorenz96_file) as dataset:
        start = initial_conditions(dataset, config)
        members = set(dataset.members(split).tolist())
        num_samples = dataset.num_samples
    assert start.horizon == round(0.5 / (1.5 * 0.01))
    length = 20 + start.horizon
    assert set(start.members.tolist()) == members
    assert (start.samples + length <= num_samples).all()
    covered = {
        (int(m), int(s) + k)
        for m, s in zip(start.members, start.samples, strict=True)
        for k in range(length)
    }
    assert len(covered) == 8 * length


def test_a_dataset_without_a_lyapunov_exponent_needs_one(lorenz96_file: Path) -> None:
    config = ForecastConfig(initial_conditions=4, warm_up=5, horizon=1.0)
    with open_dataset(lorenz96_file) as dataset:
        if dataset.lyapunov_exponent is not None:  # 12 sites: none is published
            pytest.fail("the test needs a dataset whose exponent is unknown")
        with pytest.raises(InputError, match=r"give forecast\.lyapunov_exponent"):
            initial_conditions(dataset, config)


def test_an_untrained_network_is_scored_too(lorenz96_file: Path) -> None:
    config = ForecastConfig(initial_conditions=4, warm_up=5, horizon=0.5, lyapunov_exponent=1.5)
    with open_dataset(lorenz96_file) as dataset, closing(communicator("none")) as ranks:
        torch.manual_seed(0)
        model = Forecaster(ModelConfig(hidden=4, halo=1), training_scaling(dataset))
        result = evaluate(model, dataset, config, ranks)
    assert result.error.shape == (4, 33)
    assert np.isfinite(result.persistence_error).all()
    assert result.truth.shape == (3, 33, 12)
    first = nrmse(result.truth[:, :1], result.truth[:, :1] * 0, np.ones(12))
    assert (first > 0).all()


def test_forecast_command(
    tmp_path: Path, train_spec: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["train", str(train_spec()), "--out", str(run), "--train.steps", "20"]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(["forecast", str(run), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    values = {result["name"]: result["value"] for result in document["results"]}
    trained = json.loads((run / "result.json").read_text())["metrics"]
    assert values["vpt_mean"] == {m["name"]: m["value"] for m in trained}["vpt_mean"]
    out = tmp_path / "longer"
    options = ["--forecast.horizon", "1.5", "--forecast.initial_conditions", "4"]
    assert main(["forecast", str(run), "--out", str(out), *options]) == 0
    with h5py.File(out / "forecast.h5") as file:
        assert file["nrmse"].shape == (4, 100)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--forecast.horizon", "-1"], "forecast.horizon"),
        (["--forecast.horizn", "1"], '"horizon"'),
        (["--forecast.initial_conditions", "0"], "initial_conditions"),
        (["--forecast.split", "train"], "'validation' or 'test'"),
        (
            ["--forecast.split", "validation", "--forecast.attractor.exponents", "2"],
            "looks at the test split",
        ),
        (["--train.window", "8"], "unknown key"),
        (["--data", "none.h5"], "none.h5"),
    ],
)
def test_forecast_command_refuses(
    tmp_path: Path,
    train_spec: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    part: str,
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(train_spec()), "--out", str(run), "--train.steps", "2"]) == 0
    capsys.readouterr()
    assert main(["forecast", str(run), *options]) == 2
    assert part in capsys.readouterr().err


def test_forecast_command_needs_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err


def test_a_larger_ring_is_forecast_as_well_as_the_one_it_repeats(
    tmp_path: Path, train_spec: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["train", str(train_spec(dtype="float64")), "--out", str(run)]
    assert main([*arguments, "--train.steps", "20"]) == 0
    assert main(["forecast", str(run), "--sites", "36", "--out", str(tmp_path / "ring")]) == 0
    with h5py.File(run / "forecast.h5") as small, h5py.File(tmp_path / "ring/forecast.h5") as ring:
        np.testing.assert_allclose(ring["nrmse"], small["nrmse"], rtol=1e-9)
        np.testing.assert_allclose(ring["climatology_nrmse"], small["climatology_nrmse"])
        assert ring["forecast"].shape == (3, small["forecast"].shape[1], 36)
    capsys.readouterr()
    assert main(["forecast", str(run), "--sites", "30"]) == 2
    assert "--sites: given 30; valid: multiples of the 12" in capsys.readouterr().err
