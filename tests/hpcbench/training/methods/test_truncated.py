"""Truncated, full, overlapping and hand-written backpropagation through time."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hpcbench.config.tree import validate
from hpcbench.errors import InputError
from hpcbench.training.methods.backpropagation.bptt_by_hand import (
    Weights,
    backward_pass,
    forward_pass,
)
from hpcbench.training.methods.backpropagation.dropout import dropped
from hpcbench.training.methods.noise import NoiseOptions, disturbance
from hpcbench.training.run_config import RunConfig

FLOAT = torch.float64


# ---------------------------------------------------------------------------- truncated and full


@pytest.mark.parametrize("coupling", ["local", "global"])
@pytest.mark.parametrize("cell", ["stepped_lstm", "gru", "lstm"])
def test_a_window_as_long_as_the_carry_is_full_backpropagation(
    build: Any, tools: Any, cell: str, coupling: str
) -> None:
    """The loss written out over the whole sequence, one step at a time."""
    method = build("tbptt", cell=cell, coupling=coupling)
    states = tools.true_states()
    loss, _ = method(states, None, tools.rows())
    forecaster, state, total = method.forecaster, None, torch.zeros((), dtype=FLOAT)
    for t in range(8):
        scaled, state = forecaster(states[:, t : t + 1], state)
        target = forecaster.scaled_target(states[:, t : t + 1], states[:, t + 1 : t + 2])
        total = total + (scaled - target).square().mean() / 8
    torch.testing.assert_close(loss, total, rtol=0, atol=1e-12)
    tools.assert_same(tools.gradients(method, loss), tools.gradients(method, total))


def test_the_carried_state_leaks_no_gradient(build: Any, tools: Any) -> None:
    method = build("tbptt")
    states = tools.true_states()
    _, state = method(states[:, :5], None, tools.rows())
    assert not any(part.requires_grad for part in state)
    early = states[:, :5].clone().requires_grad_()
    late = states[:, 4:].clone().requires_grad_()
    _, state = method(early, None, tools.rows())
    loss, _ = method(late, state, tools.rows())
    loss.backward()
    assert early.grad is None
    assert late.grad.abs().sum() > 0


def test_many_to_one_scores_the_last_step(build: Any, tools: Any) -> None:
    method, last = build("tbptt"), build("tbptt", {"targets": "last"})
    states = tools.true_states()
    loss, _ = last(states, None, tools.rows())
    before, state = method(states[:, :-1], None, tools.rows())
    scaled, _ = method.forecaster(states[:, -2:-1], state)
    target = method.forecaster.scaled_target(states[:, -2:-1], states[:, -1:])
    torch.testing.assert_close(loss, (scaled - target).square().mean(), rtol=0, atol=1e-12)
    assert before != loss


# ------------------------------------------------------------------------------------------ noise


def test_noise_of_zero_is_the_identity_bitwise(build: Any, tools: Any) -> None:
    states = tools.true_states()
    plain, _ = build("tbptt")(states, None, tools.rows())
    silent, _ = build("tbptt", {"noise": 0.0})(states, None, tools.rows())
    assert torch.equal(plain, silent)


def test_noise_has_the_variance_asked_for(tools: Any) -> None:
    noise = disturbance(NoiseOptions(noise=0.3), tools.rows(batch=50), (40, 32))
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert abs(noise.mean().item()) < 0.005


def test_high_pass_noise_has_no_long_waves(tools: Any) -> None:
    white = NoiseOptions(noise=0.3)
    high = NoiseOptions(noise=0.3, noise_first_mode=5)
    noise = disturbance(high, tools.rows(), (4, 32))
    modes = torch.fft.rfft(noise)
    assert modes[..., :5].abs().max() < 1e-12
    expected = torch.fft.rfft(disturbance(white, tools.rows(), (4, 32)))
    torch.testing.assert_close(modes[..., 5:], expected[..., 5:], rtol=0, atol=1e-12)


def test_corrected_noise_leads_back_to_the_trajectory(build: Any, tools: Any) -> None:
    """A model that knows the true next state makes no error; uncorrected, one that ignores it."""
    states = tools.true_states()
    for corrected in (True, False):
        method = build("tbptt", {"noise": 0.1, "noise_corrected": corrected})
        scale = method.forecaster.scale_increment
        noise = disturbance(method.options, tools.rows(), (8, states.shape[2]))

        def perfect(
            inputs: Tensor,
            state: Any,
            corrected: bool = corrected,
            noise: Tensor = noise,
            scale: Tensor = scale,
        ) -> Any:
            torch.testing.assert_close(inputs, states[:, :-1] + noise, rtol=0, atol=1e-12)
            origin = inputs if corrected else states[:, :-1]
            return (states[:, 1:] - origin) / scale, ()

        method.forecaster.forward = perfect
        loss, _ = method(states, None, tools.rows())
        assert loss.item() < 1e-24


# ---------------------------------------------------------------------- dropout, parts of a state


def test_dropout_hides_units_from_the_head_for_a_whole_window(build: Any, tools: Any) -> None:
    hidden = torch.randn(40 * 6, 5, 30, dtype=FLOAT)  # 40 sequences of 6 sites
    masked = dropped(hidden, 0.3, tools.rows(batch=40))
    kept = masked != 0
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    torch.testing.assert_close(masked[kept], hidden[kept] / 0.7, rtol=1e-14, atol=0)
    assert kept.double().mean().item() == pytest.approx(0.7, abs=0.01)
    apart = dropped(hidden[:60], 0.3, tools.rows(batch=10))
    assert torch.equal(apart, masked[:60])  # a row draws the same on whichever rank it lies
    assert not torch.equal(masked, dropped(hidden, 0.3, tools.rows(step=1, batch=40)))


@pytest.mark.parametrize("coupling", ["local", "global"])
def test_dropout_is_its_equation_and_leaves_the_state_alone(
    build: Any, tools: Any, coupling: str
) -> None:
    model = {"coupling": coupling, "head": [3], "skip": True}
    method, plain = build("tbptt", {"dropout": 0.5}, **model), build("tbptt", **model)
    states, forecaster = tools.true_states(), method.forecaster
    loss, state = method(states, None, tools.rows())
    rows = forecaster.rows(states[:, :-1])
    hidden, _ = forecaster.core(rows, None)
    target = forecaster.outputs(forecaster.scaled_target(states[:, :-1], states[:, 1:]))
    outputs = forecaster.read_out(dropped(hidden, 0.5, tools.rows()), rows)
    torch.testing.assert_close(loss, (outputs - target).square().mean(), rtol=0, atol=1e-12)
    expected, after = plain(states, None, tools.rows())
    assert loss != expected
    assert all(torch.equal(one, other) for one, other in zip(state, after, strict=True))
    validation = plain.forecaster.one_step_loss(states)
    assert torch.equal(forecaster.one_step_loss(states), validation)  # never while validating


def test_no_dropout_is_the_identity_bitwise(build: Any, tools: Any) -> None:
    states = tools.true_states()
    plain, _ = build("tbptt")(states, None, tools.rows())
    whole, _ = build("tbptt", {"dropout": 0.0})(states, None, tools.rows())
    assert torch.equal(plain, whole)


@pytest.mark.parametrize("cell", ["lstm", "stepped_lstm", "coupled_lstm"])
def test_one_of_the_two_pasts_can_be_carried_alone(build: Any, tools: Any, cell: str) -> None:
    states = tools.true_states()
    _, (hidden, long) = build("tbptt", cell=cell)(states[:, :5], None, tools.rows())
    for part, expected in (
        ("hidden", (hidden, torch.zeros_like(long))),
        ("cell", (torch.zeros_like(hidden), long)),
    ):
        method = build("tbptt", {"carried": part}, cell=cell)
        _, state = method(states[:, :5], None, tools.rows())
        assert all(torch.equal(one, other) for one, other in zip(state, expected, strict=True))
        loss, _ = method(states[:, 4:], state, tools.rows())
        whole, _ = build("tbptt", cell=cell)(states[:, 4:], (hidden, long), tools.rows())
        assert loss != whole


# ------------------------------------------------------------------------------------- k1 and k2


def test_reach_equal_to_the_window_is_tbptt(build: Any, tools: Any) -> None:
    plain, overlapping = build("tbptt"), build("tbptt_k1_k2", {"reach": 4})
    states, kept, held = tools.true_states(), None, None
    for first in (0, 4):
        window = states[:, first : first + 5]
        expected, kept = plain(window, kept, tools.rows())
        loss, held = overlapping(window, held, tools.rows())
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
        tools.assert_same(tools.gradients(overlapping, loss), tools.gradients(plain, expected))


@pytest.mark.parametrize("coupling", ["local", "global"])
@pytest.mark.parametrize("reach", [3, 4, 5, 6, 8, 100])
def test_gradients_reach_back_exactly_k2_steps(
    build: Any, tools: Any, reach: int, coupling: str
) -> None:
    """Windows of 2: each one's error, with the state cut k2 steps before the window's end."""
    method = build("tbptt_k1_k2", {"reach": reach}, coupling=coupling)
    forecaster, states, held = method.forecaster, tools.true_states(time=13), None
    for end in range(2, 13, 2):
        loss, held = method(states[:, end - 2 : end + 1], held, tools.rows())
        cut = max(end - reach, 0)
        state = None
        if cut:
            with torch.no_grad():
                _, state = forecaster(states[:, :cut], None)
        scaled, _ = forecaster(states[:, cut:end], state)
        target = forecaster.scaled_target(states[:, end - 2 : end], states[:, end - 1 : end + 1])
        expected = (scaled[:, -2:] - target).square().mean()
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
        tools.assert_same(tools.gradients(method, loss), tools.gradients(method, expected))


def test_inputs_older_than_k2_have_no_gradient(build: Any, tools: Any) -> None:
    method = build("tbptt_k1_k2", {"reach": 4})
    parts = [tools.true_states(time=13)[:, s : s + 3].clone().requires_grad_() for s in (0, 2, 4)]
    held = None
    for part in parts:
        loss, held = method(part, held, tools.rows())
    loss.backward()
    assert parts[0].grad is None
    assert not any(part.requires_grad for part in held)


@pytest.mark.parametrize("reach", [4, 6, 7])
def test_inputs_up_to_k2_steps_back_count_and_no_older_ones(
    build: Any, tools: Any, reach: int
) -> None:
    """One sequence of inputs, of which the cell keeps what it needs: older gradients are 0."""
    method = build("tbptt_k1_k2", {"reach": reach}, coupling="global", target="state")
    states, held = tools.true_states(time=13).requires_grad_(), None
    inputs = []
    forward = method.forecaster.forward

    def watched(present: Tensor, state: Any) -> Any:
        inputs.append(present)
        return forward(present, state)

    method.forecaster.forward = watched
    for first in range(0, 12, 2):
        inputs.clear()
        loss, held = method(states[:, first : first + 3], held, tools.rows())
    # what is run again or anew for the last window: its inputs, the oldest first
    seen = torch.cat(inputs, 1)
    assert seen.shape[1] == reach
    assert torch.equal(seen, states[:, 12 - reach : 12])
    (gradient,) = torch.autograd.grad(loss, states, retain_graph=True)
    assert (gradient[:, :10] == 0).all()  # earlier windows are held without their history
    later = torch.autograd.grad(loss, inputs)
    assert (torch.cat(later, 1).abs().amax(dim=(0, 2)) > 0).all()


# ---------------------------------------------------------------------------------------- by hand


def random_problem(time: int = 6) -> tuple[Weights, Tensor, Tensor, Tensor]:
    torch.manual_seed(5)
    U, W, V = (torch.randn(*s, dtype=FLOAT) / 2 for s in ((4, 3), (4, 4), (2, 4)))
    b, c = torch.randn(4, dtype=FLOAT), torch.randn(2, dtype=FLOAT)
    weights = Weights(U, W, b, V, c)
    inputs = torch.randn(time, 5, 3, dtype=FLOAT)
    return weights, inputs, torch.randn(5, 4, dtype=FLOAT), torch.randn(time, 5, 2, dtype=FLOAT)


def test_backward_pass_by_hand_is_autograd() -> None:
    weights, inputs, start, errors = random_problem()
    leaves = [value.clone().requires_grad_() for value in vars(weights).values()]
    _, outputs = forward_pass(Weights(*leaves), inputs, start)
    expected = torch.autograd.grad((outputs * errors).sum(), leaves)
    hidden, _ = forward_pass(weights, inputs, start)
    ours = backward_pass(weights, inputs, hidden, errors)
    for one, other in zip(vars(ours).values(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_recursive_form_is_the_sum_of_products() -> None:
    """sum over t and k of dL/dh_t (prod of dh_{j+1}/dh_j) (immediate dh_k/dW), for T = 6."""
    weights, inputs, start, errors = random_problem(time=6)
    hidden, _ = forward_pass(weights, inputs, start)
    total = Weights(*(torch.zeros_like(value) for value in vars(weights).values()))
    for row in range(5):
        for t in range(1, 7):
            credit = errors[t - 1, row] @ weights.V
            for k in range(t, 0, -1):
                slope = 1 - hidden[k, row] ** 2
                total.W.add_(torch.outer(credit * slope, hidden[k - 1, row]))
                total.U.add_(torch.outer(credit * slope, inputs[k - 1, row]))
                total.b.add_(credit * slope)
                credit = (credit * slope) @ weights.W
    ours = backward_pass(weights, inputs, hidden, errors)
    for name in ("U", "W", "b"):
        expected = getattr(total, name)
        torch.testing.assert_close(getattr(ours, name), expected, rtol=0, atol=1e-10)


def test_backward_pass_by_hand_is_the_slope_of_the_loss() -> None:
    """Central differences of the sum of squares, in every weight."""
    weights, inputs, start, wanted = random_problem(time=4)

    def loss() -> float:
        _, outputs = forward_pass(weights, inputs, start)
        return float((outputs - wanted).square().sum())

    hidden, outputs = forward_pass(weights, inputs, start)
    ours = backward_pass(weights, inputs, hidden, 2 * (outputs - wanted))
    step = 1e-6
    for name, values in vars(weights).items():
        flat, found = values.view(-1), getattr(ours, name).view(-1)
        for place in range(len(flat)):
            kept = flat[place].item()
            flat[place] = kept + step
            above = loss()
            flat[place] = kept - step
            slope = (above - loss()) / (2 * step)
            flat[place] = kept
            assert found[place].item() == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_backward_pass_is_linear_in_the_errors() -> None:
    weights, inputs, start, errors = random_problem()
    hidden, _ = forward_pass(weights, inputs, start)

    def back(values: Tensor) -> list[Tensor]:
        return list(vars(backward_pass(weights, inputs, hidden, values)).values())

    other = torch.randn_like(errors)
    for doubled, once in zip(back(2 * errors), back(errors), strict=True):
        assert torch.equal(doubled, 2 * once)  # a power of two rounds nothing
    for both, one, two in zip(back(errors + other), back(errors), back(other), strict=True):
        torch.testing.assert_close(both, one + two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("coupling", ["local", "global"])
def test_method_by_hand_is_tbptt(build: Any, tools: Any, coupling: str) -> None:
    by_hand = build("bptt_by_hand", cell="elman", coupling=coupling)
    plain = build("tbptt", cell="elman", coupling=coupling)
    states, mine, theirs = tools.true_states(), None, None
    for first in (0, 4):
        window = states[:, first : first + 5]
        loss, mine = by_hand(window, mine, tools.rows())
        expected, theirs = plain(window, theirs, tools.rows())
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(mine[0], theirs[0], rtol=0, atol=1e-12)
        tools.assert_same(
            tools.gradients(by_hand, loss), tools.gradients(plain, expected), atol=1e-10
        )


# --------------------------------------------------------------------------------- wrong choices


@pytest.mark.parametrize(
    ("train", "model", "parts"),
    [
        ({"method": "tbptt_k1_k2", "options": {"reach": 8}}, {}, ["reach", "8", "16", "k2 >= k1"]),
        ({"method": "bptt_by_hand"}, {"cell": "lstm"}, ["bptt_by_hand", "lstm", "valid: elman"]),
        ({"method": "bptt_by_hand"}, {"cell": "elman", "layers": 2}, ["model.layers = 1", "tbptt"]),
        ({"method": "bptt_by_hand"}, {"cell": "elman", "head": [3]}, ["linear head", "[3]"]),
        (
            {"method": "tbptt", "options": {"noise_corrected": False}},
            {"target": "state"},
            ["noise_corrected", "increment"],
        ),
        (
            {"method": "levenberg_marquardt", "options": {"noise_corrected": False}},
            {"target": "state", "cell": "gru"},
            ["noise_corrected", "increment"],
        ),
        (
            {"method": "tbptt", "options": {"carried": "cell"}},
            {"cell": "gru"},
            ['carried = "cell"', "gru", "valid: coupled_lstm", "lstm"],
        ),
        (
            {"method": "tbptt", "options": {"carried": "cell"}, "embedding": {"delays": 2}},
            {},
            ['carried: "cell"', "[embedding]", "choose one"],
        ),
        ({"method": "tbptt", "options": {"dropout": 1.0}}, {}, ["dropout", "less than 1"]),
        ({"method": "tbtt"}, {}, ['did you mean "tbptt"', "scheduled_sampling"]),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    train: dict[str, Any], model: dict[str, Any], parts: list[str]
) -> None:
    data = {"train": {"steps": 1, **train}, "model": model}
    data["embedding"] = data["train"].pop("embedding", {})
    with pytest.raises(InputError) as error:
        validate(RunConfig, data, "train.toml")
    for part in parts:
        assert part in str(error.value)
