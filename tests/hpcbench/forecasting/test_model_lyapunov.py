"""Lyapunov exponents: maps with known exponents, and the closed loop of a forecaster."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hpcbench.errors import InputError
from hpcbench.forecasting.model_lyapunov import (
    ClosedLoop,
    LyapunovSpectrum,
    forecaster_rates,
    kaplan_yorke_dimension,
    kolmogorov_sinai_entropy,
    lyapunov_spectrum,
    tangent_step,
)
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling

pytestmark = pytest.mark.usefixtures("one_thread")


def random_states(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape))


def forecaster(num_components: int = 5, **settings: Any) -> Forecaster:
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    scaling = Scaling(*random.uniform(0.5, 1.5, size=(3, num_components)))
    return Forecaster(ModelConfig(hidden=4, **settings), scaling)


def test_a_linear_map_has_the_logarithms_of_its_eigenvalues() -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(6, 6)) / 3
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(matrix))))[::-1]
    weights = torch.from_numpy(matrix)
    found = lyapunov_spectrum(lambda x: x @ weights.T, random_states(8, 6), 6, 200, transient=100)
    np.testing.assert_allclose(found.exponents, expected, atol=0.01)
    in_time = lyapunov_spectrum(
        lambda x: x @ weights.T, random_states(8, 6), 6, 200, interval=0.1, transient=100
    )
    np.testing.assert_allclose(in_time.exponents, 10 * found.exponents, rtol=1e-10)
    assert np.all(found.standard_error < 0.01)


def test_a_linear_network_has_the_logarithms_of_its_eigenvalues() -> None:
    """h' = W h + U x with x = V h: the closed loop's matrix is W + U V."""
    random = np.random.default_rng(1)
    W, U, V = (
        torch.from_numpy(random.normal(size=shape) / 3) for shape in ((6, 6), (6, 2), (2, 6))
    )
    expected = np.sort(np.log(np.abs(np.linalg.eigvals((W + U @ V).numpy()))))[::-1]

    def step(rows: Tensor) -> Tensor:
        return rows @ W.T + (rows @ V.T) @ U.T

    found = lyapunov_spectrum(step, random_states(8, 6), 3, 200, transient=100)
    np.testing.assert_allclose(found.exponents, expected[:3], atol=0.01)


def henon(rows: Tensor) -> Tensor:
    x, y = rows.unbind(-1)
    return torch.stack([1 - 1.4 * x**2 + y, 0.3 * x], dim=-1)


def test_henon_map() -> None:
    """Exponents 0.4192 and −1.6232 (Sprott 2003); their sum is ln 0.3 exactly."""
    found = lyapunov_spectrum(
        henon, 0.02 * random_states(400, 2), 2, 100, transient=40, steps_between_qr=5
    )
    np.testing.assert_allclose(found.exponents, [0.4192, -1.6232], atol=0.015)
    assert found.exponents.sum() == pytest.approx(np.log(0.3), abs=1e-12)
    assert found.dimension == pytest.approx(1.258, abs=0.012)
    assert np.all(found.standard_error < 0.005)


def test_fewer_orthonormalisations_give_the_same() -> None:
    every, some = (
        lyapunov_spectrum(
            henon, 0.02 * random_states(3, 2), 2, 39, transient=9, steps_between_qr=between
        )
        for between in (1, 4)
    )
    np.testing.assert_allclose(every.exponents, some.exponents, atol=1e-9)


def lorenz63_step(x: Tensor, h: float = 0.02) -> Tensor:
    def slope(x: Tensor) -> Tensor:
        u, v, w = x.unbind(-1)
        return torch.stack([10 * (v - u), u * (28 - w) - v, u * v - 8 / 3 * w], dim=-1)

    a = slope(x)
    b = slope(x + h / 2 * a)
    c = slope(x + h / 2 * b)
    d = slope(x + h * c)
    return x + h / 6 * (a + 2 * b + 2 * c + d)


def test_one_step_of_the_equations_as_the_model() -> None:
    """Lorenz-63: 0.9056, 0, −14.5723, dimension 2.062 (Sprott 2003)."""
    start = random_states(500, 3) * 5 + torch.tensor([0.0, 0.0, 25.0])
    found = lyapunov_spectrum(
        lorenz63_step, start, 3, 400, interval=0.02, transient=500, steps_between_qr=5
    )
    assert found.exponents[0] == pytest.approx(0.9056, abs=3 * found.standard_error[0])
    assert found.standard_error[0] < 0.015
    assert found.exponents[1] == pytest.approx(0, abs=0.02)
    assert found.exponents.sum() == pytest.approx(-13.6667, abs=2e-3)  # −(σ + 1 + β)
    assert found.dimension == pytest.approx(2.062, abs=0.01)


@pytest.mark.parametrize(
    "settings",
    [
        {"coupling": "global", "target": "increment"},
        {"coupling": "global", "target": "state", "layers": 2},
        {"coupling": "local", "halo": 1},
    ],
)
def test_tangents_are_those_of_autograd(settings: dict[str, Any]) -> None:
    loop = ClosedLoop(forecaster(**settings))
    states = loop.start(np.random.default_rng(0).normal(size=(2, 6, 5)))
    tangents = torch.eye(states.shape[1], dtype=torch.float64).repeat(2, 1, 1)
    following, found = tangent_step(loop, states, tangents)
    torch.testing.assert_close(following, loop(states).detach())
    for state, moved in zip(states, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda s: loop(s[None])[0], state)
        assert isinstance(jacobian, Tensor)
        torch.testing.assert_close(moved, jacobian, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("coupling", ["global", "local"])
def test_the_closed_loop_runs_as_the_forecast_does(coupling: str) -> None:
    model = forecaster(coupling=coupling, halo=1)
    model.set_dtype(torch.float64)
    warm = np.random.default_rng(0).normal(size=(3, 6, 5))
    loop = ClosedLoop(model)
    rows = loop.start(warm)
    with torch.no_grad():
        present, carried = model.normalise(torch.from_numpy(warm)), None
        for _ in range(4):
            scaled, carried = model(present, carried)
            present = model.next_state(present[:, -1:], scaled[:, -1:])
            torch.testing.assert_close(rows[:, :5], present[:, 0], rtol=1e-12, atol=1e-12)
            rows = loop(rows)


def test_a_contracting_forecaster_settles() -> None:
    """Without a head's weights the state stays where it is: D exponents are exactly zero."""
    model = forecaster(coupling="global")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.1)
        for parameter in model.head.parameters():
            parameter.zero_()
    warm = np.random.default_rng(0).normal(size=(2, 6, 5))
    found = LyapunovSpectrum(forecaster_rates(model, warm, 6, 100, 0.1, transient=50))
    np.testing.assert_allclose(found.exponents[:5], 0, atol=1e-12)
    assert found.exponents[5] < -1


def test_too_many_exponents_are_refused() -> None:
    model = forecaster(coupling="global")
    with pytest.raises(InputError, match="given 14, but the model in closed loop has 13"):
        forecaster_rates(model, np.zeros((1, 3, 5)), 14, 10, 0.1)


def test_kaplan_yorke_dimension_and_entropy() -> None:
    assert kaplan_yorke_dimension(np.array([0.9056, 0.0, -14.5723])) == pytest.approx(
        2.0621, abs=1e-4
    )
    assert kaplan_yorke_dimension(np.array([-0.1, -0.2])) == 0
    assert kaplan_yorke_dimension(np.array([0.5, -np.inf])) == 1
    assert np.isnan(kaplan_yorke_dimension(np.array([0.5, -0.2])))
    assert kolmogorov_sinai_entropy(np.array([1.5, 0.5, 0.0, -3.0])) == 2
