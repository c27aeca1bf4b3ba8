"""Scheduled sampling, generalized and sparse forcing, multi-step: their limits and equations."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hpcbench.forecasting.free_run import free_run
from hpcbench.models.forecaster import Forecaster
from hpcbench.parallel.alone import Alone
from hpcbench.training.methods.forcing.generalized_forcing import step_jacobian_norms

TEACHER = [
    ("scheduled_sampling", {"schedule": "constant", "first": 1.0}),
    ("scheduled_sampling", {"schedule": "constant", "first": 1.0, "choice": "prefix"}),
    ("generalized_forcing", {"share": 1.0}),
    ("sparse_forcing", {"interval": 1}),
]
FREE = [
    ("scheduled_sampling", {"schedule": "constant", "first": 0.0}),
    ("scheduled_sampling", {"schedule": "constant", "first": 0.0, "choice": "prefix"}),
    ("generalized_forcing", {"share": 0.0}),
    ("sparse_forcing", {"interval": 100}),
]
MODELS = [
    {"coupling": "local"},
    {"coupling": "global", "target": "state"},
    {"cell": "gru", "layers": 2, "skip": True},
]


def teacher_forced(forecaster: Forecaster, states: Tensor) -> Tensor:
    """The scaled errors of one-step predictions, one call per step."""
    errors, state = [], None
    for t in range(states.shape[1] - 1):
        now, following = states[:, t : t + 1], states[:, t + 1 : t + 2]
        scaled, state = forecaster(now, state)
        errors.append(scaled - forecaster.scaled_target(now, following))
    return torch.cat(errors, 1)


def running_free(forecaster: Forecaster, states: Tensor) -> Tensor:
    errors, state, now = [], None, states[:, :1]
    for t in range(states.shape[1] - 1):
        scaled, state = forecaster(now, state)
        errors.append(scaled - forecaster.scaled_target(now, states[:, t + 1 : t + 2]))
        now = forecaster.next_state(now, scaled)
    return torch.cat(errors, 1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "options"), TEACHER)
def test_all_truth_is_teacher_forcing(
    build: Any, tools: Any, name: str, options: dict[str, Any], model: dict[str, Any]
) -> None:
    method, states = build(name, options, **model), tools.true_states()
    loss, _ = method(states, None, tools.rows())
    assert torch.equal(loss, teacher_forced(method.forecaster, states).square().mean())
    plain, _ = build("tbptt", **model)(states, None, tools.rows())
    torch.testing.assert_close(loss, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "options"), FREE)
def test_no_truth_is_running_free(
    build: Any, tools: Any, name: str, options: dict[str, Any], model: dict[str, Any]
) -> None:
    """Also across windows: the prediction is carried on."""
    method, states = build(name, options, **model), tools.true_states()
    loss, _ = method(states, None, tools.rows())
    expected = running_free(method.forecaster, states)
    assert torch.equal(loss, expected.square().mean())
    _, state = method(states[:, :5], None, tools.rows())
    second, _ = method(states[:, 4:], state, tools.rows(step=1))
    torch.testing.assert_close(second, expected[:, 4:].square().mean(), rtol=0, atol=1e-12)


def test_free_running_training_is_the_forecast(build: Any, tools: Any) -> None:
    method, states = build(*FREE[0], coupling="local"), tools.true_states()
    forecaster = method.forecaster
    warm = forecaster.restore(states[:, :1]).numpy()
    forecast = forecaster.normalise(torch.from_numpy(free_run(forecaster, warm, 8, Alone())))
    error = (forecast - states[:, 1:]) / forecaster.scale_increment
    loss, _ = method(states, None, tools.rows())
    torch.testing.assert_close(loss, error.square().mean(), rtol=1e-12, atol=0)


def test_a_perfect_model_is_the_same_forced_and_free(build: Any, tools: Any) -> None:
    """An oracle of the next state: every method has no error."""
    states = tools.true_states()
    for name, options in [*TEACHER, *FREE, ("generalized_forcing", {"share": 0.3})]:
        method = build(name, options)
        forecaster = method.forecaster

        def oracle(present: Tensor, state: Any, forecaster: Any = forecaster) -> Any:
            step = 0 if state is None else int(state[0][0, 0, 0])
            scaled = forecaster.scaled_target(present, states[:, step + 1 : step + 2])
            return scaled, (torch.full((1, 3, 1), step + 1.0),)

        forecaster.forward = oracle
        loss, _ = method(states, None, tools.rows())
        assert loss.item() < 1e-24


# -------------------------------------------------------------------------- scheduled sampling


def test_schedules() -> None:
    from hpcbench.training.methods.forcing.scheduled_sampling import ScheduledSampling as Method

    def probabilities(**options: Any) -> list[float]:
        method = object.__new__(Method)
        torch.nn.Module.__init__(method)
        method.options = Method.Options(**options)
        method.num_steps = 10
        return [method.probability(step) for step in range(10)]

    assert probabilities() == pytest.approx([1 - i / 10 for i in range(10)])
    assert probabilities(first=0.0, last=1.0) == pytest.approx([i / 10 for i in range(10)])
    exponential = probabilities(schedule="exponential", decay=0.9)
    assert exponential == pytest.approx([0.9**i for i in range(10)])
    sigmoid = probabilities(schedule="inverse_sigmoid", decay=5.0)
    assert sigmoid == pytest.approx([5 / (5 + math.exp(i / 5)) for i in range(10)])


def test_inputs_are_drawn_with_the_probability(build: Any, tools: Any) -> None:
    method = build("scheduled_sampling", {"schedule": "constant", "first": 0.3})
    states = torch.zeros(40, 101, 1)
    share = method.share(states, None, tools.rows(batch=40))
    assert set(share.unique().tolist()) == {0.0, 1.0}
    assert share.mean().item() == pytest.approx(0.3, abs=0.03)
    apart = method.share(states[:20], None, tools.rows(batch=20))
    assert torch.equal(share[:20], apart)  # a row draws the same wherever it lies
    assert not torch.equal(share, method.share(states, None, tools.rows(step=1, batch=40)))


@pytest.mark.parametrize("through", [True, False])
def test_gradients_pass_through_predictions_only_when_asked(
    build: Any, tools: Any, through: bool
) -> None:
    options = {"schedule": "constant", "first": 0.0, "through": through}
    method, states = build("scheduled_sampling", options), tools.true_states(time=3)
    forecaster = method.forecaster
    loss, _ = method(states, None, tools.rows())
    now, following = states[:, :1], states[:, 1:2]
    first, state = forecaster(now, None)
    fed = forecaster.next_state(now, first)
    fed = fed if through else fed.detach()
    second, _ = forecaster(fed, state)
    errors = torch.cat(
        [
            first - forecaster.scaled_target(now, following),
            second - forecaster.scaled_target(fed, states[:, 2:]),
        ]
    )
    expected = errors.square().mean()
    tools.assert_same(tools.gradients(method, loss), tools.gradients(method, expected))


# --------------------------------------------------------------------- generalized and sparse


def test_generalized_forcing_mixes_inputs(build: Any, tools: Any) -> None:
    method, states = build("generalized_forcing", {"share": 0.3}), tools.true_states(time=4)
    forecaster, state, predicted, errors = method.forecaster, None, states[:, :1], []
    for t in range(3):
        mixed = 0.3 * states[:, t : t + 1] + 0.7 * predicted
        scaled, state = forecaster(mixed, state)
        errors.append(scaled - forecaster.scaled_target(mixed, states[:, t + 1 : t + 2]))
        predicted = forecaster.next_state(mixed, scaled)
    loss, _ = method(states, None, tools.rows())
    expected = torch.cat(errors).square().mean()
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("coupling", ["local", "global"])
def test_state_forcing_moves_the_observed_part_of_the_hidden_units(
    build: Any, tools: Any, coupling: str
) -> None:
    """With share 1 the head reads the true target from the moved units."""
    from hpcbench.training.methods.forcing.forcing import _pulled

    method = build(
        "generalized_forcing",
        {"share": 1.0, "force": "state"},
        coupling=coupling,
        hidden=8,
        skip=False,
    )
    forecaster, states = method.forecaster, tools.true_states()
    scaled, state = forecaster(states[:, :1], None)
    target = forecaster.scaled_target(states[:, :1], states[:, 1:2])
    moved = _pulled(forecaster, state, scaled - target)
    output = forecaster.components(forecaster.head(moved[0][-1])[:, None], len(states))
    torch.testing.assert_close(output, target, rtol=0, atol=1e-12)
    assert torch.equal(moved[1], state[1])
    loss, _ = method(states, None, tools.rows())
    assert torch.isfinite(loss)


def test_step_jacobian_norms_are_those_of_the_matrices(build: Any, tools: Any) -> None:
    method = build("generalized_forcing", coupling="global", hidden=4)
    forecaster, states = method.forecaster, tools.true_states(batch=1, time=3)
    norms = step_jacobian_norms(forecaster, states, None)
    state = (torch.zeros(1, 1, 4, dtype=torch.float64),) * 2
    for t in range(2):
        point = torch.cat([states[:, t : t + 1].flatten(), *(part.flatten() for part in state)])

        def loop(z: Tensor) -> Tensor:
            x, h, c = z[:6].reshape(1, 1, 6), z[6:10].reshape(1, 1, 4), z[10:].reshape(1, 1, 4)
            scaled, after = forecaster(x, (h, c))
            following = forecaster.next_state(x, scaled)
            return torch.cat([following.flatten(), *(part.flatten() for part in after)])

        jacobian = torch.autograd.functional.jacobian(loop, point)
        expected = torch.linalg.matrix_norm(jacobian, 2)
        assert norms[t].item() == pytest.approx(expected.item(), rel=1e-2)
        assert norms[t] <= expected * (1 + 1e-12)
        _, state = forecaster(states[:, t : t + 1], state)


def test_adaptive_share_follows_the_jacobians(build: Any, tools: Any) -> None:
    method, states = build("generalized_forcing", {"share": "adaptive"}), tools.true_states()
    assert method.alpha.item() == 1.0
    method(states, None, tools.rows(step=0))
    norms = step_jacobian_norms(method.forecaster, states[:1], None)
    growth = norms.log().mean().exp().item()
    assert growth > 1
    wanted = 1 - 1 / growth
    assert method.alpha.item() == pytest.approx(0.999 + 0.001 * wanted, abs=1e-12)
    before = method.alpha.clone()
    method(states, None, tools.rows(step=1))  # not its turn
    assert torch.equal(method.alpha, before)
    method.alpha.fill_(wanted / 2)
    method(states, None, tools.rows(step=5))
    assert method.alpha.item() == pytest.approx(wanted, abs=1e-12)
    # with this share the product of mixed Jacobians along the sequence is bounded by 1
    assert ((1 - method.alpha) * norms).prod().item() <= 1 + 1e-9


def test_sparse_forcing_counts_over_windows(build: Any, tools: Any) -> None:
    method, states = build("sparse_forcing", {"interval": 3}), tools.true_states(time=5)
    first = method.share(states, None, tools.rows())
    second = method.share(states, (states,), tools.rows())
    assert first[0].tolist() == [1, 0, 0, 1]
    assert second[0].tolist() == [0, 0, 1, 0]
    again = method.share(states, None, tools.rows())
    assert torch.equal(first, again)


# ---------------------------------------------------------------------------------- multi-step


@pytest.mark.parametrize("name", ["multi_step", "pushforward"])
def test_one_free_step_is_tbptt(build: Any, tools: Any, name: str) -> None:
    method, plain = build(name, {"free_steps": 1}), build("tbptt")
    states = tools.true_states()
    loss, state = method(states, None, tools.rows())
    expected, after = plain(states, None, tools.rows())
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    tools.assert_same(tools.gradients(method, loss), tools.gradients(plain, expected))
    assert all(torch.equal(one, other) for one, other in zip(state, after, strict=True))


@pytest.mark.parametrize("name", ["multi_step", "pushforward"])
def test_free_steps_are_discounted_applications(build: Any, tools: Any, name: str) -> None:
    method = build(name, {"free_steps": 3, "discount": 0.5})
    states, forecaster = tools.true_states(time=6), method.forecaster
    errors, state, now = [], None, states[:, :1]
    for t in range(5):
        if t <= 2:
            now = states[:, t : t + 1]
        elif name == "pushforward":
            now = now.detach()
        scaled, state = forecaster(now, state)
        errors.append((scaled - forecaster.scaled_target(now, states[:, t + 1 : t + 2])).square())
        now = forecaster.next_state(now, scaled)
    weights = [1.0, 1.0, 1.0, 0.5, 0.25]
    expected = sum(w * e.mean() for w, e in zip(weights, errors, strict=True)) / sum(weights)
    loss, after = method(states, None, tools.rows())
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    tools.assert_same(tools.gradients(method, loss), tools.gradients(method, expected))
    # the carried state has seen the truth only
    _, truthful = forecaster(states[:, :-1], None)
    for one, other in zip(after, truthful, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-12)


# --------------------------------------------------------------------------------- wrong choices


@pytest.mark.parametrize(
    ("train", "model", "parts"),
    [
        (
            {"method": "generalized_forcing", "options": {"share": "adaptive"}},
            {"cell": "lstm"},
            ["generalized_forcing", "fused", "stepped_lstm", "gru"],
        ),
        (
            {"method": "scheduled_sampling"},
            {"cell": "lstm"},
            ["scheduled_sampling", "own predictions", "fused", '"lstm"', "stepped_lstm"],
        ),
        (
            {"method": "sparse_forcing"},
            {"cell": "fused_gru"},
            ["sparse_forcing", "fused", '"fused_gru"', "valid:", "gru"],
        ),
        (
            {"method": "generalized_forcing", "options": {"share": 1.5}},
            {},
            ["train.options.share", "1.5", "0 to 1"],
        ),
        (
            {"method": "generalized_forcing", "options": {"force": "state"}},
            {"cell": "jordan"},
            ["hidden units", "jordan", "elman"],
        ),
        (
            {"method": "multi_step", "options": {"free_steps": 17}},
            {},
            ["free_steps", "17", "16"],
        ),
        (
            {"method": "scheduled_sampling", "options": {"schedule": "exponential"}},
            {},
            ["decay", "below 1"],
        ),
        (
            {"method": "scheduled_sampling", "options": {"decay": 0.5}},
            {},
            ["decay", "linear", "none"],
        ),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    train: dict[str, Any], model: dict[str, Any], parts: list[str], tools: Any
) -> None:
    tools.assert_refused(train, model, parts)
