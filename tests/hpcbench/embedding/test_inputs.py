"""The [embedding] section: what a forecaster sees, from windows to forecasts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from hpcbench.cli import main
from hpcbench.config.tree import validate
from hpcbench.data.dataset import open_dataset
from hpcbench.data.windows import RowRandom, WindowPlan, read_windows
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.embedding.delay_line import DelayLine
from hpcbench.embedding.delays import delay_vectors
from hpcbench.embedding.observation import observe
from hpcbench.errors import InputError
from hpcbench.forecasting.free_run import free_run
from hpcbench.forecasting.model_lyapunov import ClosedLoop
from hpcbench.forecasting.trained import load_forecaster
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling, training_scaling
from hpcbench.parallel.communicator import communicator
from hpcbench.training.methods.registry import METHODS, method_class
from hpcbench.training.run_config import RunConfig

D = 5


pytestmark = pytest.mark.usefixtures("one_thread")


def forecaster(embedding: EmbeddingConfig | None = None, **settings: Any) -> Forecaster:
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    scaling = Scaling(*random.uniform(0.5, 1.5, size=(3, D)))
    model = Forecaster(ModelConfig(hidden=4, **settings), scaling, embedding)
    model.set_dtype(torch.float64)
    return model


def states(batch: int = 2, time: int = 12) -> Tensor:
    return torch.randn(batch, time, D, generator=torch.manual_seed(1)).double()


# --------------------------------------------------------------------------- sub-sampling


@pytest.mark.parametrize("stride", [2, 3, 7])
def test_training_sees_every_sample_of_every_phase(lorenz96_file: Path, stride: int) -> None:
    with open_dataset(lorenz96_file) as dataset:
        view = observe(dataset, EmbeddingConfig(stride=stride))
        members = view.members("train")
        assert len(members) == stride * len(dataset.members("train"))
        assert view.num_samples == dataset.num_samples // stride
        assert view.sample_interval == pytest.approx(stride * dataset.sample_interval)
        seen = np.stack([view.trajectory(member) for member in members])
        kept = view.num_samples * stride
        whole = np.stack([dataset.trajectory(m)[:kept] for m in dataset.members("train")])
        np.testing.assert_array_equal(
            np.sort(seen.reshape(-1, 12), axis=0), np.sort(whole.reshape(-1, 12), axis=0)
        )
        for split in ("validation", "test"):
            assert len(view.members(split)) == len(dataset.members(split))
        member = dataset.members("test")[1]
        np.testing.assert_array_equal(
            view.trajectory(view.members("test")[1]),
            dataset.trajectory(member)[::stride][: view.num_samples],
        )


def test_windows_of_a_strided_series_are_strided(lorenz96_file: Path) -> None:
    with open_dataset(lorenz96_file) as dataset:
        view = observe(dataset, EmbeddingConfig(stride=4, observe_every=3))
        plan = WindowPlan(view.members("train"), view.num_samples, 4, 8, 6, seed=1)
        members, starts = plan.rows(0)
        found = read_windows(view, members, starts, 5)
        for row, (member, start) in enumerate(zip(members, starts, strict=True)):
            whole, phase = divmod(int(member), 4)
            first = phase + 4 * int(start)
            expected = dataset.trajectory(whole)[first : first + 17 : 4, ::3]
            np.testing.assert_array_equal(found[row], expected)
        np.testing.assert_array_equal(view.std, dataset.std[::3])
        scaling = training_scaling(view)
        assert scaling.mean.shape == (4,)
        increments = [np.diff(dataset.trajectory(m)[::4, ::3], axis=0) for m in range(8)]
        expected = np.std(increments, axis=(0, 1)) / view.std
        np.testing.assert_allclose(scaling.increment, expected, rtol=0.05)


def test_no_embedding_changes_nothing(lorenz96_file: Path) -> None:
    with open_dataset(lorenz96_file) as dataset:
        assert observe(dataset, EmbeddingConfig()) is dataset
    plain, default = forecaster(), forecaster(EmbeddingConfig())
    assert plain.state_dict().keys() == default.state_dict().keys()
    assert not any(name.startswith("reduce") for name in plain.state_dict())
    assert plain.start(states()[:, :0]) is None
    x = states()
    assert torch.equal(plain(x, None)[0], default(x, None)[0])


# --------------------------------------------------------------------------- delays


@pytest.mark.parametrize("coupling", ["global", "local"])
def test_the_cell_reads_delay_vectors(coupling: str) -> None:
    embedding = EmbeddingConfig(delays=3, delay=2)
    model = forecaster(embedding, coupling=coupling, halo=1)
    x = states()
    start = model.start(x[:, :4])
    scaled, _ = model(x[:, 4:], start)
    vectors = torch.from_numpy(delay_vectors(model.rows(x).numpy(), 3, 2))
    hidden, _ = model.core.cell(vectors, None)
    expected = model.components(model.read_out(hidden, model.rows(x)[:, 4:]), 2)
    torch.testing.assert_close(scaled, expected)


@pytest.mark.parametrize("coupling", ["global", "local"])
@pytest.mark.parametrize("cell", ["lstm", "elman"])
def test_a_sequence_is_read_anew_at_every_step(coupling: str, cell: str) -> None:
    embedding = EmbeddingConfig(delays=3, delay=2, layout="sequence")
    model = forecaster(embedding, coupling=coupling, halo=1, cell=cell)
    x = states()
    scaled, _ = model(x[:, 4:], model.start(x[:, :4]))
    for step in range(4, x.shape[1]):
        rows = model.rows(x[:, [step - 4, step - 2, step]])
        hidden, _ = model.core.cell(rows, None)
        last = model.read_out(hidden[:, -1:], rows[:, -1:])
        torch.testing.assert_close(scaled[:, [step - 4]], model.components(last, len(x)))


def test_a_sequence_of_one_sample_is_the_cell_without_memory() -> None:
    model = forecaster(EmbeddingConfig(layout="sequence"), coupling="local", halo=1)
    x = states()
    scaled, state = model(x, None)
    assert state[0].numel() == 0
    for step in range(x.shape[1]):
        alone, _ = model(x[:, [step]], state)
        torch.testing.assert_close(scaled[:, [step]], alone)


@pytest.mark.parametrize("layout", ["vector", "sequence"])
@pytest.mark.parametrize("coupling", ["global", "local"])
@pytest.mark.parametrize("cell", ["lstm", "elman"])
def test_windows_one_after_another_equal_one_long_window(
    coupling: str, cell: str, layout: Literal["vector", "sequence"]
) -> None:
    embedding = EmbeddingConfig(delays=3, delay=2, layout=layout)
    model = forecaster(embedding, coupling=coupling, halo=1, cell=cell)
    x = states()
    whole, last = model(x, None)
    state, parts = None, []
    for begin, end in ((0, 1), (1, 3), (3, 9), (9, 12)):
        part, state = model(x[:, begin:end], state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert state is not None
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other)
        assert one.shape[1] == (2 if coupling == "global" else 2 * D)


def test_without_a_past_the_series_stood_still() -> None:
    model = forecaster(EmbeddingConfig(delays=4, delay=1), coupling="global")
    x = states()
    still = model.start(x[:, :1].expand(-1, 3, -1))
    torch.testing.assert_close(model(x, None)[0], model(x, still)[0])


def test_gradients_reach_back_through_the_delays() -> None:
    model = forecaster(EmbeddingConfig(delays=2, delay=3), coupling="global")
    x = states().requires_grad_()
    scaled, _ = model(x, None)
    scaled[:, 5].sum().backward()
    assert x.grad is not None
    assert torch.all(x.grad[:, 2].abs().sum(dim=-1) > 0)
    assert torch.all(x.grad[:, 6:] == 0)


def test_hankel_components_are_white(lorenz96_file: Path) -> None:
    embedding = EmbeddingConfig(delays=4, delay=2, delay_components=3)
    for coupling in ("global", "local"):
        config = ModelConfig(hidden=4, halo=1, coupling=coupling)
        with open_dataset(lorenz96_file) as dataset:
            model = Forecaster(config, training_scaling(dataset, embedding), embedding)
            model.fit_embedding(dataset)
            every = np.stack([dataset.trajectory(m) for m in dataset.members("train")])
        assert isinstance(model.core, DelayLine)
        assert model.core.projection is not None
        vectors = model.core.vectors(model.rows(model.normalise(torch.from_numpy(every))))
        features = (vectors @ model.core.projection).flatten(0, 1)
        covariance = features.T @ features / len(features)
        torch.testing.assert_close(covariance, torch.eye(3).double(), rtol=0, atol=1e-6)


def test_one_step_loss_with_delays_leaves_out_the_past() -> None:
    model = forecaster(EmbeddingConfig(delays=3, delay=2), coupling="global")
    x = states()
    scaled, _ = model(x[:, 4:-1], model.start(x[:, :4]))
    expected = ((scaled - model.scaled_target(x[:, 4:-1], x[:, 5:])) ** 2).mean(dim=(1, 2))
    torch.testing.assert_close(model.one_step_loss(x), expected.detach())


def test_segments_leave_room_for_the_delays() -> None:
    arguments = {"members": np.arange(3), "num_samples": 40, "window": 4, "carry": 8}
    for reach in (0, 3, 20):
        plan = WindowPlan(**arguments, global_batch=2, seed=1, reach=reach)  # type: ignore[arg-type]
        for step in range(plan.steps_per_epoch):
            _, starts = plan.rows(step)
            assert starts.min() >= reach
            assert starts.max() + 5 <= 40
    with pytest.raises(InputError, match="delays reach back 40 steps, but a trajectory has 40"):
        WindowPlan(**arguments, global_batch=2, seed=1, reach=40)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["vector", "sequence"])
@pytest.mark.parametrize("coupling", ["global", "local"])
def test_free_runs_and_closed_loops_carry_the_delays(
    coupling: str, layout: Literal["vector", "sequence"]
) -> None:
    embedding = EmbeddingConfig(delays=3, delay=2, layout=layout)
    model = forecaster(embedding, coupling=coupling, halo=1)
    warm = states(time=8).numpy()
    ranks = communicator("none")
    predicted = free_run(model, warm, 5, ranks)
    # the same, every step from the whole past at once
    series = model.normalise(torch.from_numpy(warm))
    with torch.no_grad():
        for _ in range(5):
            scaled, _ = model(series, None)
            series = torch.cat([series, model.next_state(series, scaled)[:, -1:]], dim=1)
    np.testing.assert_allclose(predicted, model.restore(series[:, 8:]).numpy(), atol=1e-12)
    loop = ClosedLoop(model)
    vectors = loop.start(warm)
    for step in range(5):
        found = model.restore(vectors[:, :D])
        np.testing.assert_allclose(found.detach().numpy(), predicted[:, step], atol=1e-12)
        vectors = loop(vectors)


# --------------------------------------------------------------------------- principal components


def reduced(lorenz96_file: Path, **settings: Any) -> tuple[Forecaster, Tensor]:
    embedding = EmbeddingConfig(**settings)
    with open_dataset(lorenz96_file) as dataset:
        scaling = training_scaling(dataset, embedding)
        every = np.stack([dataset.trajectory(m) for m in dataset.members("train")])
    model = Forecaster(ModelConfig(hidden=4, coupling="global"), scaling, embedding)
    return model, torch.from_numpy(every)


def test_all_components_lose_nothing(lorenz96_file: Path) -> None:
    for whiten in (False, True):
        model, x = reduced(lorenz96_file, components=12, whiten=whiten)
        restored = model.restore(model.normalise(x))
        torch.testing.assert_close(restored, x.double(), rtol=1e-9, atol=1e-9)


def test_whitened_components_are_white_and_their_increments_scaled(lorenz96_file: Path) -> None:
    model, x = reduced(lorenz96_file, components=7, whiten=True)
    z = model.normalise(x)
    assert z.shape[-1] == model.num_inputs == 7
    flat = z.flatten(0, 1)
    covariance = flat.T @ flat / len(flat)
    torch.testing.assert_close(covariance, torch.eye(7).double(), rtol=0, atol=1e-6)
    target = model.scaled_target(z[:, :-1], z[:, 1:])
    torch.testing.assert_close(
        (target**2).mean(dim=(0, 1)), torch.ones(7).double(), rtol=1e-9, atol=0
    )
    scores = model.principal_components(x.numpy())
    np.testing.assert_allclose(scores.std(axis=(0, 1)), 1, rtol=1e-3)


def test_components_are_uncorrelated_and_in_order(lorenz96_file: Path) -> None:
    model, x = reduced(lorenz96_file, components=7)
    flat = model.normalise(x).flatten(0, 1)
    covariance = flat.T @ flat / len(flat)
    variances = covariance.diagonal()
    torch.testing.assert_close(covariance, variances.diag(), rtol=0, atol=1e-9)
    assert torch.all(variances.diff() < 0)
    scores = model.principal_components(x.numpy())
    np.testing.assert_allclose(scores.std(axis=(0, 1)), 1, rtol=1e-3)


# --------------------------------------------------------------------------- whole runs


def metric(run: Path, name: str) -> float:
    result = json.loads((run / "result.json").read_text())
    return next(m["value"] for m in result["metrics"] if m["name"] == name)


@pytest.mark.parametrize(
    "options",
    [
        ["--embedding.delays", "3", "--embedding.delay", "2", "--embedding.stride", "2"],
        ["--embedding.delays", "4", "--embedding.delay_components", "6"],
        ["--model.coupling", "global", "--embedding.components", "9", "--embedding.whiten", "true"],
    ],
)
def test_runs_with_an_embedding_resume_to_the_same_bits(
    tmp_path: Path, train_spec: Callable[..., Path], options: list[str]
) -> None:
    """Stopped after 15 of 20 steps, in the middle of a segment."""
    common = ["train", str(train_spec()), *options, "--train.steps", "20"]
    common += ["--forecast.horizon", "0.5"]
    assert main([*common, "--out", str(tmp_path / "whole")]) == 0
    assert main([*common, "--out", str(tmp_path / "parted")]) == 0
    parted = tmp_path / "parted"
    for name in ("result.json", "forecast.h5", "metrics.h5"):
        (parted / name).unlink()
    for file in (parted / "checkpoint" / "000000020").iterdir():
        file.unlink()
    (parted / "checkpoint" / "000000020").rmdir()
    assert main([*common, "--out", str(parted), "--resume"]) == 0
    with h5py.File(tmp_path / "whole" / "forecast.h5") as a, h5py.File(parted / "forecast.h5") as b:
        np.testing.assert_array_equal(a["forecast"], b["forecast"])
        assert a.attrs["sample_interval"] == pytest.approx(
            0.02 if "--embedding.stride" in options else 0.01
        )
    model = load_forecaster(parted)
    assert model.embedding != EmbeddingConfig()


def test_reduced_order_is_scored_in_either_space(
    tmp_path: Path, train_spec: Callable[..., Path]
) -> None:
    """The truth has what the components leave out: whole states are never forecast exactly."""
    run = tmp_path / "run"
    options = ["--model.coupling", "global", "--embedding.components", "6", "--train.steps", "10"]
    options += ["--forecast.horizon", "0.5"]
    assert main(["train", str(train_spec()), *options, "--out", str(run)]) == 0
    again = ["forecast", str(run), "--forecast.score", "components", "--out", str(tmp_path / "pc")]
    assert main(again) == 0
    with h5py.File(run / "forecast.h5") as a, h5py.File(tmp_path / "pc" / "forecast.h5") as b:
        first, reduced_first = a["nrmse"][:, 0], b["nrmse"][:, 0]
        np.testing.assert_array_equal(a["forecast"], b["forecast"])
    model = load_forecaster(run)
    with open_dataset(model.run["dataset"]["path"]) as dataset:
        truth = np.stack([dataset.trajectory(m) for m in dataset.members("test")])
        std = dataset.std
    lost = model.restore(model.normalise(torch.from_numpy(truth))).numpy() - truth
    least = np.sqrt(np.mean((lost / std) ** 2))
    assert first.mean() > 0.8 * least > 0.1
    assert reduced_first.mean() < first.mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--embedding.components", "3"], 'give model.coupling = "global"'),
        (["--embedding.whiten", "true"], 'give model.coupling = "global"'),
        (["--embedding.delay_components", "3"], "give delays of at least 2"),
        (["--embedding.delays", "3", "--embedding.delay", "5"], "forecast.warm_up is 10"),
        (["--embedding.stride", "150"], "embedding.stride: given 150"),
        (["--embedding.observe_every", "13"], "valid: 1 to 12"),
        (["--forecast.score", "components"], "needs principal components"),
        (["--embedding.strides", "2"], 'did you mean "stride"'),
        (
            ["--embedding.delays", "2", "--embedding.delay_components", "11"],
            "2 delays of 5 inputs have 10",
        ),
        (
            ["--model.coupling", "global", "--embedding.components", "13"],
            "embedding.components: given 13",
        ),
        (
            ["--embedding.delays", "2", "--embedding.delay", "300", "--forecast.warm_up", "301",
             "--forecast.initial_conditions", "0"],
            "delays reach back 300 steps, but a trajectory has 200",
        ),
    ],
)  # fmt: skip
def test_an_embedding_that_does_not_fit_is_refused_before_training(
    tmp_path: Path,
    train_spec: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(train_spec()), *options, "--out", str(run)]) == 2
    assert message in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.parametrize("layout", ["vector", "sequence"])
@pytest.mark.parametrize("name", METHODS)
def test_methods_take_delays_or_refuse_them(
    name: str, layout: Literal["vector", "sequence"]
) -> None:
    method_of = method_class(name)
    embedding = EmbeddingConfig(delays=3, delay=2, layout=layout)
    if not method_of.TAKES_DELAYS:
        data = {"train": {"method": name, "steps": 1}, "embedding": embedding.model_dump()}
        with pytest.raises(InputError):
            validate(RunConfig, data, "run.toml")
        return
    model = forecaster(embedding, coupling="local", halo=1, cell="stepped_lstm")
    method = method_of(model, method_of.Options())
    method.prepare(communicator("none"), 2)
    x, random = states(time=16), RowRandom(1, 0, range(2))
    if method_of.OWNS_UPDATE:
        loss, state = method.update(x[:, 4:9], model.start(x[:, :4]), random)
        again, _ = method.update(x[:, 4:9], model.start(x[:, :4]), random)
        assert again < loss
    else:
        loss, state = method(x[:, 4:9], model.start(x[:, :4]), random)
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        method(x[:, 8:13], state, random)
    torch.testing.assert_close(state[-1].transpose(0, 1), model.rows(x[:, 4:8]))


def test_the_configuration_is_read_from_plain_data() -> None:
    read = validate(EmbeddingConfig, {"delays": 3, "delay": 4}, "run.json")
    assert read.reach == 8
    assert not read.projects
