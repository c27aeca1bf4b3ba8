"""Closed-form readouts: reservoirs, polynomials, random networks and the trivial baselines."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hpcbench.errors import InputError
from hpcbench.forecasting.free_run import free_run
from hpcbench.forecasting.metrics import climatology, persistence
from hpcbench.models.fixed.echo_state import EchoState, EchoStateOptions, _sparse_radius
from hpcbench.models.fixed.polynomial import Polynomial, num_monomials
from hpcbench.models.initialisation import spectral_radius
from hpcbench.parallel.alone import Alone
from hpcbench.training.methods.ridge import solve_ridge
from hpcbench.training.methods.split.split_layer import lstm_layers

FLOAT = torch.float64
LSQ = {"penalty": 0.0}


def fit(method: Any, tools: Any, num_batches: int = 3, time: int = 9) -> list[Tensor]:
    losses = []
    for step in range(num_batches):
        states = tools.true_states(time=time, seed=step)
        loss, _ = method.update(states, None, tools.rows(step=step))
        losses.append(loss)
    method.settle()
    return losses


def features_and_targets(method: Any, tools: Any, skip: int = 0) -> tuple[Tensor, Tensor]:
    """All rows and steps of the batches of :func:`fit`, with the constant last."""
    forecaster, features, targets = method.forecaster, [], []
    for step in range(3):
        states = tools.true_states(seed=step)
        rows = forecaster.rows(states[:, :-1])
        hidden, _ = forecaster.core(rows, None)
        parts = [hidden] + ([rows] if forecaster.skip is not None else [])
        features.append(torch.cat(parts, -1)[:, skip:].flatten(0, 1))
        target = forecaster.scaled_target(states[:, :-1], states[:, 1:])
        targets.append(forecaster.outputs(target)[:, skip:].flatten(0, 1))
    joined = torch.cat(features)
    return torch.cat([joined, torch.ones(len(joined), 1, dtype=FLOAT)], 1), torch.cat(targets)


def readout(forecaster: Any) -> Tensor:
    parts = [forecaster.head.weight]
    parts += [forecaster.skip.weight] if forecaster.skip is not None else []
    return torch.cat([*parts, forecaster.head.bias[:, None]], 1).T


# ------------------------------------------------------------------------------- the regression


@pytest.mark.parametrize(
    "model",
    [
        {"cell": "elman", "hidden": 4},
        {"cell": "lstm", "hidden": 3, "coupling": "global"},
        {"cell": "elman", "hidden": 3, "skip": True},
    ],
)
@pytest.mark.parametrize("washout", [0, 3])
def test_without_penalty_it_is_least_squares(
    build: Any, tools: Any, model: dict[str, Any], washout: int
) -> None:
    method = build("ridge", {**LSQ, "washout": washout}, **model)
    fit(method, tools)
    features, targets = features_and_targets(method, tools, washout)
    expected = torch.linalg.lstsq(features, targets).solution
    residual = features @ readout(method.forecaster) - targets
    assert (features.T @ residual).abs().max() < 1e-9 * len(features)
    best = (features @ expected - targets).square().mean()
    torch.testing.assert_close(residual.square().mean(), best, rtol=1e-9, atol=0)


def test_penalty_is_its_equation(build: Any, tools: Any) -> None:
    method = build("ridge", {"penalty": 0.01}, cell="elman")
    fit(method, tools)
    features, targets = features_and_targets(method, tools)
    size = len(features)
    penalty = 0.01 * torch.eye(features.shape[1], dtype=FLOAT)
    penalty[-1, -1] = 0
    expected = torch.linalg.solve(
        features.T @ features / size + penalty, features.T @ targets / size
    )
    torch.testing.assert_close(readout(method.forecaster), expected, rtol=0, atol=1e-10)


def test_order_and_carry_do_not_matter_but_washout_counts_over_windows(
    build: Any, tools: Any
) -> None:
    whole = build("ridge", {"washout": 3, "penalty": 1e-3}, cell="elman")
    whole.update(tools.true_states(), None, tools.rows())
    parts = build("ridge", {"washout": 3, "penalty": 1e-3}, cell="elman")
    state = None
    for first in (0, 2, 4, 6):
        window = tools.true_states()[:, first : first + 3]
        _, state = parts.update(window, state, tools.rows())
    # steps 3 to 7: the first window contributes nothing, the second its second step only
    assert int(parts.num_batches) == 3
    assert int(parts.position) == 8


def test_singular_features_are_reported_at_the_end(build: Any, tools: Any) -> None:
    method = build("ridge", LSQ, cell="constant")
    fit_one = tools.true_states()
    method.update(fit_one, None, tools.rows())
    with pytest.raises(InputError, match=r"train\.options\.penalty.*larger"):
        method.settle()
    singular = torch.ones(2, 2, dtype=FLOAT)
    assert solve_ridge(singular, singular, torch.zeros(2, dtype=FLOAT)) is None


def test_nothing_is_left_to_an_optimiser(build: Any) -> None:
    assert not any(p.requires_grad for p in build("ridge", cell="elman").parameters())


def test_loss_is_that_of_the_readout_before_its_data(build: Any, tools: Any) -> None:
    method = build("ridge", cell="polynomial", cell_options={"delays": 3})
    losses = fit(method, tools, num_batches=4)
    states = tools.true_states(seed=0)
    target = method.forecaster.scaled_target(states[:, :-1], states[:, 1:])
    torch.testing.assert_close(losses[0], target.square().mean(), rtol=0, atol=1e-12)
    assert max(losses[2:]) < 0.2 * losses[0]


# ------------------------------------------------------------------------------------- baselines


@pytest.mark.parametrize("coupling", ["local", "global"])
@pytest.mark.parametrize("target", ["increment", "state"])
def test_constant_cell_is_persistence_or_climatology(
    build: Any, tools: Any, coupling: str, target: str
) -> None:
    options = {"intercept": False}
    method = build("ridge", options, cell="constant", target=target, coupling=coupling)
    fit(method, tools)
    forecaster = method.forecaster
    warm = forecaster.restore(tools.true_states()).numpy()
    forecast = free_run(forecaster, warm, 5, Alone())
    if target == "increment":
        expected = persistence(warm[:, -1], forecast)
    else:
        mean = forecaster.scale_mean.expand(warm.shape[2]).numpy()
        expected = climatology(mean, forecast)
    np.testing.assert_allclose(forecast, expected, rtol=0, atol=1e-12)


def test_linear_forecaster_learns_a_linear_system_exactly(build: Any) -> None:
    """x <- A x on the normalised states: polynomial of degree 1, target state."""
    torch.manual_seed(0)
    model = {"coupling": "global", "target": "state", "cell_options": {"degree": 1}}
    method = build("ridge", LSQ, cell="polynomial", **model)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=FLOAT)).Q
    series = [torch.randn(5, 6, dtype=FLOAT)]
    for _ in range(8):
        series.append(series[-1] @ rotation.T)
    states = torch.stack(series, 1)
    method.update(states, None, None)
    method.settle()
    torch.testing.assert_close(method.forecaster.head.weight, rotation, rtol=0, atol=1e-10)
    warm = method.forecaster.restore(states[:, :2]).numpy()
    forecast = free_run(method.forecaster, warm, 7, Alone())
    truth = method.forecaster.restore(states[:, 2:]).numpy()
    np.testing.assert_allclose(forecast, truth, rtol=0, atol=1e-9)


def test_a_sine_is_forecast_by_its_recursion(build: Any) -> None:
    """x(t+1) = 2 cos(omega) x(t) - x(t-1): two delays, linear; found, and right ever after."""
    omega = 4 * math.pi / 999
    model = {"halo": 0, "target": "state", "cell_options": {"degree": 1, "delays": 2}}
    method = build("ridge", {**LSQ, "washout": 1}, cell="polynomial", **model)
    phases = torch.linspace(0, 6, 6, dtype=FLOAT)  # one at each site
    states = torch.sin(omega * torch.arange(1000, dtype=FLOAT)[:, None] + phases)[None]
    method.update(states[:, :801], None, None)
    method.settle()
    expected = torch.tensor([[2 * math.cos(omega), -1.0]], dtype=FLOAT)
    torch.testing.assert_close(method.forecaster.head.weight, expected, rtol=0, atol=1e-8)
    warm = method.forecaster.restore(states[:, :800]).numpy()
    forecast = method.forecaster.normalise(
        torch.from_numpy(free_run(method.forecaster, warm, 200, Alone()))
    )
    torch.testing.assert_close(forecast, states[:, 800:], rtol=0, atol=1e-6)


def test_a_sliding_window_forecasts_as_the_carried_state_does(build: Any, tools: Any) -> None:
    """Where nothing older than the window counts: each step afresh from the last four states."""
    cell_options = {"delays": 2, "stride": 3}
    method = build("ridge", {"penalty": 1e-3}, cell="polynomial", cell_options=cell_options)
    fit(method, tools)
    forecaster, known = method.forecaster, tools.true_states()
    warm = forecaster.restore(known).numpy()
    carried = forecaster.normalise(torch.from_numpy(free_run(forecaster, warm, 5, Alone())))
    series = known
    for _ in range(5):
        window = series[:, -4:]
        scaled, _ = forecaster(window, None)
        following = forecaster.next_state(window[:, -1:], scaled[:, -1:])
        series = torch.cat([series, following], 1)
    torch.testing.assert_close(series[:, 9:].detach(), carried, rtol=0, atol=1e-10)


# ----------------------------------------------------------------------------------- polynomials


def test_monomials_are_those_counted_and_computed_by_hand() -> None:
    cell = Polynomial(2, 1, 1, Polynomial.Options(degree=3))
    a, b = torch.randn(2, 4, 5, dtype=FLOAT)
    values, _ = cell(torch.stack([a, b], -1), None)
    expected = torch.stack([a, b, a * a, a * b, b * b, a**3, a * a * b, a * b * b, b**3], -1)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=0)
    for variables, degree in ((9, 4), (3, 2), (1, 6)):
        assert num_monomials(variables, degree) == math.comb(variables + degree, degree) - 1


def test_delays_reach_into_the_carried_past() -> None:
    cell = Polynomial(2, 1, 1, Polynomial.Options(degree=1, delays=3, stride=2))
    inputs = torch.randn(4, 9, 2, dtype=FLOAT)
    values, state = cell(inputs, None)
    for t in range(9):
        delayed = [inputs[:, max(t - back, 0)] for back in (0, 2, 4)]
        assert torch.equal(values[:, t], torch.cat(delayed, -1))
    first, middle = cell(inputs[:, :3], None)
    second, last = cell(inputs[:, 3:], middle)
    assert torch.equal(torch.cat([first, second], 1), values)
    assert torch.equal(last[0], state[0])


def test_local_polynomial_is_translation_equivariant(build: Any, tools: Any) -> None:
    method = build("ridge", cell="polynomial")
    fit(method, tools)
    states = tools.true_states()
    once, _ = method.forecaster(states, None)
    rolled, _ = method.forecaster(states.roll(2, -1), None)
    torch.testing.assert_close(rolled, once.roll(2, -1), rtol=0, atol=1e-12)


def test_local_polynomial_learns_lorenz96_euler_steps_exactly(build: Any) -> None:
    """The increment of an Euler step is a polynomial of degree 2 in the site's neighbourhood."""
    method = build("ridge", LSQ, cell="polynomial", halo=2)
    torch.manual_seed(0)
    states = torch.randn(40, 1, 6, dtype=FLOAT)
    x = states[:, 0]
    rate = (x.roll(-1, 1) - x.roll(2, 1)) * x.roll(1, 1) - x + 8
    states = torch.cat([states, (x + 0.01 * rate)[:, None]], 1)
    method.update(states, None, None)
    method.settle()
    loss, _ = method.update(states, None, None)
    assert loss.item() < 1e-16


def test_too_many_monomials_are_refused() -> None:
    with pytest.raises(InputError, match=r"degree.*monomials.*smaller"):
        Polynomial(40, 1, 1, Polynomial.Options(degree=4))


# ------------------------------------------------------------------------------------- reservoirs


def test_echo_states_forget_where_they_started() -> None:
    torch.manual_seed(0)
    cell = EchoState(3, 50, 1, EchoStateOptions(spectral_radius=0.6)).double()
    inputs = torch.randn(2, 200, 3, dtype=FLOAT)
    ends = [cell(inputs, (torch.randn(1, 2, 50, dtype=FLOAT),))[1][0] for _ in range(2)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-12)


def test_reservoir_step_is_its_equation() -> None:
    torch.manual_seed(0)
    cell = EchoState(3, 12, 1, EchoStateOptions(leak=0.3, degree=4)).double()
    layer = cell.layers[0]
    dense = torch.zeros(12, 12, dtype=FLOAT).scatter_(1, layer.sources, layer.strengths)
    assert ((dense != 0).sum(1) == 4).all()
    assert spectral_radius(dense) == pytest.approx(0.6, rel=1e-6)
    r, inputs = torch.zeros(2, 12, dtype=FLOAT), torch.randn(2, 5, 3, dtype=FLOAT)
    values, _ = cell(inputs, None)
    for t in range(5):
        new = torch.tanh(inputs[:, t] @ layer.weight_ih.T + r @ dense.T + layer.bias)
        r = 0.7 * r + 0.3 * new
        torch.testing.assert_close(values[:, t, ::2], r[:, ::2], rtol=0, atol=1e-12)
        torch.testing.assert_close(values[:, t, 1::2], r[:, 1::2] ** 2, rtol=0, atol=1e-12)


def test_largest_eigenvalue_of_a_large_reservoir() -> None:
    torch.manual_seed(0)
    sources = torch.stack([torch.randperm(300)[:10] for _ in range(300)])
    strengths = 2 * torch.rand(300, 10, dtype=FLOAT) - 1
    dense = torch.zeros(300, 300, dtype=FLOAT).scatter_(1, sources, strengths)
    assert _sparse_radius(sources, strengths) == pytest.approx(spectral_radius(dense), rel=1e-8)


def test_random_lstm_has_the_radius_and_a_fitted_readout(build: Any, tools: Any) -> None:
    method = build("fast_random", {"spectral_radius": 0.9, "penalty": 1e-9}, cell="lstm", hidden=8)
    for layer in lstm_layers(method.forecaster.core):
        for gate in layer.recurrent.split(8):
            assert spectral_radius(gate) == pytest.approx(0.9, rel=1e-9)
    losses = fit(method, tools, num_batches=4)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("train", "model", "parts"),
    [
        ({"method": "ridge"}, {"head": [4]}, ["linear head", "[4]"]),
        ({"method": "ridge", "options": {"washout": 16}}, {}, ["washout", "16", "carry"]),
        ({"method": "fast_random"}, {"cell": "gru"}, ["gru", "lstm"]),
        (
            {"method": "ridge", "backend": "horovod", "compression": "fp16"},
            {},
            ["ridge", "compression", "leave them out"],
        ),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    train: dict[str, Any], model: dict[str, Any], parts: list[str], tools: Any
) -> None:
    tools.assert_refused(train, model, parts)
