"""The diagnosis of a dataset: Lorenz-63 against its known values, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from hpcbench.data.dataset import open_dataset
from hpcbench.data.format import Header
from hpcbench.data.writer import write_dataset
from hpcbench.embedding.diagnosis import Diagnosis, Effort, diagnose
from hpcbench.embedding.reduction import training_components
from hpcbench.errors import InputError

INTERVAL = 0.01


def lorenz63(x: np.ndarray) -> np.ndarray:
    """Lorenz (1963) with σ = 10, ρ = 28, β = 8/3."""
    u, v, w = np.moveaxis(x, -1, 0)
    return np.stack([10 * (v - u), u * (28 - w) - v, u * v - 8 / 3 * w], axis=-1)


def trajectories(num: int, num_samples: int, spin_up: int = 1000) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(num, 3)) * 8 + [0, 0, 25]
    out = np.empty((num, num_samples, 3))
    for step in range(-spin_up, num_samples):
        if step >= 0:
            out[:, step] = x
        a = lorenz63(x)
        b = lorenz63(x + INTERVAL / 2 * a)
        c = lorenz63(x + INTERVAL / 2 * b)
        d = lorenz63(x + INTERVAL * c)
        x = x + INTERVAL / 6 * (a + 2 * b + 2 * c + d)
    return out


def write(path: Path, states: np.ndarray, exponent: float | None = 0.9056) -> Path:
    header = Header(
        system="lorenz63",
        parameters={},
        integrator="rk4",
        step=INTERVAL,
        sample_interval=INTERVAL,
        spin_up=10.0,
        seed=0,
        num_trajectories=len(states),
        num_samples=states.shape[1],
        num_components=states.shape[2],
        dtype="float64",
        split=(len(states) - 2, 1, 1),
        lyapunov_exponent=exponent,
        lyapunov_source="Sprott (2003)",
    )
    write_dataset(path, header, states)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("embedding") / "l63.h5", trajectories(34, 2000))


@pytest.fixture(scope="module")
def found(data: Path) -> Diagnosis:
    with open_dataset(data) as dataset:
        return diagnose(dataset, component=0)


def test_lorenz63_correlation_times(found: Diagnosis) -> None:
    """Of x: autocorrelation 1/e at 0.31 (no zero), information minimum at 0.17."""
    assert found.correlation[1] == pytest.approx(0.99853, abs=1e-4)
    assert found.decay_lag is not None
    assert found.decay_lag * INTERVAL == pytest.approx(0.31, abs=0.02)
    assert found.zero_lag is None
    assert found.information_lag.rule == "minimum"
    assert found.information_lag.lag is not None
    assert found.information_lag.lag * INTERVAL == pytest.approx(0.17, abs=0.011)
    assert found.recommended_lag == found.information_lag.lag


def test_lorenz63_unfolds_in_three_dimensions(found: Diagnosis) -> None:
    assert found.unfolding is not None
    assert found.unfolding.false_dimension() == 3
    assert found.unfolding.cao_dimension() == 3


def test_lorenz63_scores(found: Diagnosis) -> None:
    """Windows of 8: at 0.01 .98 / 1.08 of 8 / 1e15; at 0.10 .48 / 3.23."""
    dense, coarse = found.scores[1], found.scores[10]
    assert dense.mean_correlation == pytest.approx(0.98, abs=0.005)
    assert 8 * dense.effective_rank == pytest.approx(1.08, abs=0.01)
    assert dense.condition_number > 1e14
    assert dense.persistence_error == pytest.approx(0.054, abs=0.001)
    assert coarse.mean_correlation == pytest.approx(0.48, abs=0.02)
    assert 8 * coarse.effective_rank == pytest.approx(3.23, abs=0.1)


def test_lorenz63_z_crosses_zero(data: Path) -> None:
    with open_dataset(data) as dataset:
        found = diagnose(dataset, component=2)
    assert found.zero_lag is not None
    assert found.zero_lag * INTERVAL == pytest.approx(0.20, abs=0.011)
    assert found.decay_lag == pytest.approx(14, abs=1)


def test_the_order_of_trajectories_does_not_matter(data: Path, tmp_path: Path) -> None:
    with open_dataset(data) as dataset:
        states = np.stack([dataset.trajectory(m) for m in range(34)])
        first = diagnose(dataset, 0, max_lag=50, effort=Effort(max_dimension=2))
    turned = np.concatenate([states[31::-1], states[32:]])
    with open_dataset(write(tmp_path / "turned.h5", turned)) as dataset:
        second = diagnose(dataset, 0, max_lag=50, effort=Effort(max_dimension=2))
    np.testing.assert_allclose(first.correlation, second.correlation, atol=1e-10)
    # values that lie on the edge of two bins may change sides
    np.testing.assert_allclose(first.information, second.information, atol=1e-3)
    np.testing.assert_allclose(first.principal.variances, second.principal.variances, rtol=1e-6)


def test_results_give_delays_in_samples_model_time_and_lyapunov_times(found: Diagnosis) -> None:
    table = {row["name"]: row["value"] for row in found.results()}
    lag = table["recommended_delay.samples"]
    assert table["recommended_delay.model_time"] == pytest.approx(lag * INTERVAL)
    assert table["recommended_delay.lyapunov_times"] == pytest.approx(lag * INTERVAL * 0.9056)
    assert table["autocorrelation_zero.samples"] is None
    assert table["dimension_cao"] == 3
    assert table["S1_mean_correlation.stride_1"] == found.scores[1].mean_correlation


def test_training_components_use_training_states_only(tmp_path: Path) -> None:
    states = np.random.default_rng(0).normal(size=(6, 200, 3))
    states[4:] *= 100
    with open_dataset(write(tmp_path / "noise.h5", states)) as dataset:
        whole = training_components(dataset)
        thinned = training_components(dataset, num_states=400)
    exact = np.cov(states[:4].reshape(-1, 3).T, bias=True)
    restored = (whole.vectors * whole.variances) @ whole.vectors.T
    np.testing.assert_allclose(restored, exact, atol=1e-10)
    assert thinned.variances[0] == pytest.approx(1, abs=0.2)


def test_what_cannot_be_diagnosed_is_refused(data: Path, tmp_path: Path) -> None:
    with open_dataset(data) as dataset:
        with pytest.raises(InputError, match=r"--component: given 3.*0 to 2"):
            diagnose(dataset, component=3)
        with pytest.raises(InputError, match="--max-lag: given 1001; valid: 2 to 1000"):
            diagnose(dataset, max_lag=1001)
    short = trajectories(3, 99, spin_up=0)
    with (
        open_dataset(write(tmp_path / "short.h5", short)) as dataset,
        pytest.raises(InputError, match=r"99 samples; .* at least 100"),
    ):
        diagnose(dataset)
    still = trajectories(3, 200, spin_up=0)
    still[..., 1] = 4.0
    with (
        open_dataset(write(tmp_path / "still.h5", still)) as dataset,
        pytest.raises(InputError, match="component 1 does not change"),
    ):
        diagnose(dataset)


def test_without_lyapunov_exponent_times_are_in_model_units(tmp_path: Path) -> None:
    states = trajectories(4, 400, spin_up=500)
    with open_dataset(write(tmp_path / "l63.h5", states, exponent=None)) as dataset:
        found = diagnose(dataset, effort=Effort(max_dimension=2))
    assert len(found.correlation) == 201
    assert not any("lyapunov" in row["name"] for row in found.results())
