"""The split training against autograd of the cell whose gates see a detached state."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpcbench.training.methods.split.split_layer import (
    LayerWeights,
    SplitLayer,
    lstm_layers,
    split_pass,
)

FLOAT = torch.float64
MODELS = [
    {"coupling": "local"},
    {"coupling": "global", "layers": 2},
    {"cell": "lstm", "layers": 2, "head": [4], "skip": True},
]


def detached_cell(
    layers: list[LayerWeights], rows: Tensor, state: Any, through_cell: bool = True
) -> Tensor:
    """The LSTM step by step, with h (and, one step only, c) cut where the gates read them."""
    for index, layer in enumerate(layers):
        size = layer.recurrent.shape[1]
        h = c = torch.zeros(len(rows), size, dtype=FLOAT)
        if state is not None:
            h, c = state[0][index], state[1][index]
        outputs = []
        for x in rows.unbind(1):
            a = x @ layer.inputs.T + h.detach() @ layer.recurrent.T + layer.bias
            i, f, g, o = a.chunk(4, 1)
            c = c if through_cell else c.detach()
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        rows = torch.stack(outputs, 1)
    return rows


def reference(method: Any, states: Tensor, state: Any, through_cell: bool = True) -> Tensor:
    forecaster = method.forecaster
    target = forecaster.outputs(forecaster.scaled_target(states[:, :-1], states[:, 1:]))
    rows = forecaster.rows(states[:, :-1])
    hidden = detached_cell(lstm_layers(forecaster.core), rows, state, through_cell)
    return nn.functional.mse_loss(forecaster.read_out(hidden, rows), target)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "through"), [("fast_split", True), ("fast_onestep", False)])
def test_gradient_is_that_of_the_detached_cell(
    build: Any, tools: Any, name: str, through: bool, model: dict[str, Any]
) -> None:
    """Also with a carried state."""
    method, states = build(name, **model), tools.true_states()
    _, carried = method.forecaster(states[:, :4], None)
    carried = tuple(part.detach() for part in carried)
    for state in (None, carried):
        loss, _ = method(states, state, tools.rows())
        expected = reference(method, states, state, through)
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
        ours, theirs = tools.gradients(method, loss), tools.gradients(method, expected)
        tools.assert_same(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2])
def test_forward_pass_is_torch_lstm(layers: int) -> None:
    torch.manual_seed(1)
    lstm = nn.LSTM(3, 5, layers, batch_first=True, dtype=FLOAT)
    holder = nn.Module()
    holder.cell = lstm
    rows = torch.randn(4, 7, 3, dtype=FLOAT)
    start = torch.randn(layers, 4, 5, dtype=FLOAT), torch.randn(layers, 4, 5, dtype=FLOAT)
    expected, last = lstm(rows, start)
    hidden, state = split_pass(lstm_layers(holder), rows, start)
    torch.testing.assert_close(hidden[-1], expected, rtol=0, atol=1e-12)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_without_recurrent_weights_it_is_full_backpropagation(build: Any, tools: Any) -> None:
    method, states = build("fast_split", layers=2, coupling="global"), tools.true_states()
    with torch.no_grad():
        for layer in lstm_layers(method.forecaster.core):
            layer.recurrent.zero_()
    loss, _ = method(states, None, tools.rows())
    scaled, _ = method.forecaster(states[:, :-1], None)
    target = method.forecaster.scaled_target(states[:, :-1], states[:, 1:])
    expected = nn.functional.mse_loss(scaled, target)
    ours, full = tools.gradients(method, loss), tools.gradients(method, expected)
    tools.assert_same(ours, full)
    assert all(value.abs().max() > 0 for name, value in ours.items() if "weight_hh" in name)


def test_one_step_is_backpropagation_of_every_kind(build: Any, tools: Any) -> None:
    states = tools.true_states(time=2)
    state = torch.randn(2, 1, 18, 5, dtype=FLOAT)
    found = []
    for name in ("tbptt", "fast_split", "fast_onestep", "fast_trace"):
        method = build(name)
        loss, _ = method(states, (state[0], state[1]), tools.rows())
        found.append(tools.gradients(method, loss))
    for other in found[1:]:
        tools.assert_same(other, found[0])


@pytest.mark.parametrize("model", [{}, {"coupling": "global"}, {"cell": "lstm", "head": [3]}])
def test_traces_give_the_same_numbers(build: Any, tools: Any, model: dict[str, Any]) -> None:
    split, trace = build("fast_split", **model), build("fast_trace", **model)
    states, mine, theirs = tools.true_states(), None, None
    for first in (0, 4):
        window = states[:, first : first + 5]
        loss, mine = trace(window, mine, tools.rows())
        expected, theirs = split(window, theirs, tools.rows())
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
        tools.assert_same(tools.gradients(trace, loss), tools.gradients(split, expected))
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_backward_pass_is_linear() -> None:
    torch.manual_seed(2)
    shapes = ((4, 7, 3), (4, 5), (4, 5), (20, 3), (20, 5), (20,))
    arguments = [torch.randn(*shape, dtype=FLOAT).requires_grad_() for shape in shapes]
    outputs, _ = SplitLayer.apply(*arguments, True)
    leaves = [arguments[0], *arguments[3:]]
    one, two = torch.randn_like(outputs), torch.randn_like(outputs)

    def back(vector: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(outputs, leaves, vector, retain_graph=True)

    for doubled, once in zip(back(2 * one), back(one), strict=True):
        assert torch.equal(doubled, 2 * once)
    for both, a, b in zip(back(one + two), back(one), back(two), strict=True):
        torch.testing.assert_close(both, a + b, rtol=0, atol=1e-12)


def test_gradient_through_time_cannot_explode() -> None:
    """Bounded by the product of forget gates, whatever the recurrent weights are."""
    torch.manual_seed(3)
    inputs = torch.randn(1, 60, 3, dtype=FLOAT, requires_grad=True)
    zero = torch.zeros(1, 5, dtype=FLOAT)
    weights = [5 * torch.randn(*shape, dtype=FLOAT) for shape in ((20, 3), (20, 5), (20,))]
    outputs, _ = SplitLayer.apply(inputs, zero, zero, *weights, True)
    (gradient,) = torch.autograd.grad(outputs[:, -1].sum(), inputs)
    assert gradient.abs().max() <= 20 * weights[0].abs().max()


def test_local_heads_learn_apart(build: Any, tools: Any) -> None:
    method = build("fast_split", {"local_heads": True}, layers=2)
    states, forecaster = tools.true_states(), method.forecaster
    loss, _ = method(states, None, tools.rows())
    ours = tools.gradients(method, loss)
    rows = forecaster.rows(states[:, :-1])
    target = forecaster.outputs(forecaster.scaled_target(states[:, :-1], states[:, 1:]))
    lower, upper = lstm_layers(forecaster.core)
    below = detached_cell([lower], rows, None)
    above = detached_cell([upper], below.detach(), None)
    expected = nn.functional.mse_loss(method.heads[0](below), target) / 2
    expected = expected + nn.functional.mse_loss(forecaster.head(above), target) / 2
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    tools.assert_same(ours, tools.gradients(method, expected), atol=1e-10)
    assert set(method.own_state()) == {"heads.0.weight", "heads.0.bias"}


@pytest.mark.parametrize("model", [{"head": [3]}, {"layers": 2, "skip": True}])
def test_the_head_trains_in_turns_with_the_cell(
    build: Any, tools: Any, model: dict[str, Any]
) -> None:
    """Two steps of the head on fixed hidden units; then the gradient of the cell under it."""
    options = {"head": "alternate", "head_steps": 2, "head_rate": 0.5}
    if model.get("layers") == 2:
        options["local_heads"] = True
    method, states = build("fast_split", options, **model), tools.true_states()
    torch.manual_seed(6)
    twin = build("fast_split", {k: v for k, v in options.items() if k == "local_heads"}, **model)
    twin.load_state_dict(method.state_dict())
    is_head = {n: ".core." not in n for n, _ in twin.named_parameters()}
    for _ in range(2):
        loss, _ = twin(states, None, tools.rows())
        slopes = {n: g for n, g in tools.gradients(twin, loss).items() if is_head[n]}
        rate = 0.5 / (1 + sum(g.square().sum() for g in slopes.values()))
        with torch.no_grad():
            for name, parameter in twin.named_parameters():
                if is_head[name]:
                    parameter -= rate * slopes[name]
    expected, _ = twin(states, None, tools.rows())
    loss, _ = method(states, None, tools.rows())
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    tools.assert_same(dict(method.state_dict()), dict(twin.state_dict()))
    ours, theirs = tools.gradients(method, loss), tools.gradients(twin, expected)
    for name, gradient in ours.items():
        if is_head[name]:  # nothing is left to the optimiser
            assert not dict(method.named_parameters())[name].requires_grad
        else:
            torch.testing.assert_close(gradient, theirs[name], rtol=0, atol=1e-12)


def test_angle_to_the_full_gradient(build: Any, tools: Any) -> None:
    """At random weights the split gradient points where the full one does, less so over time."""
    cosines = []
    for time in (2, 5, 17):
        found = []
        for name in ("fast_split", "tbptt"):
            method = build(name, coupling="global")
            loss, _ = method(tools.true_states(time=time), None, tools.rows())
            gradients = tools.gradients(method, loss)
            found.append(torch.cat([g.flatten() for n, g in gradients.items() if "core" in n]))
        cosines.append(nn.functional.cosine_similarity(*found, dim=0).item())
    assert cosines[0] == pytest.approx(1, abs=1e-12)  # one step: the same
    assert all(0.8 < cosine < 1 - 1e-6 for cosine in cosines[1:])


@pytest.mark.parametrize(
    ("train", "model", "parts"),
    [
        ({"method": "fast_split"}, {"cell": "gru"}, ["fast_split", "gru", "lstm, stepped_lstm"]),
        ({"method": "fast_trace"}, {"layers": 2}, ["one layer", "2", "fast_split"]),
        ({"method": "fast_split", "options": {"local_heads": True}}, {}, ["local_heads", "2"]),
        (
            {"method": "fast_split", "options": {"head_steps": 3}},
            {},
            ["head_steps", "joint", 'head = "alternate"'],
        ),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    train: dict[str, Any], model: dict[str, Any], parts: list[str], tools: Any
) -> None:
    tools.assert_refused(train, model, parts)
