"""Gauss–Newton products, conjugate gradients, Hessian-free and Levenberg–Marquardt steps."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from hpcbench.parallel.alone import Alone
from hpcbench.training.methods.noise import disturbance
from hpcbench.training.methods.second_order.curvature import Window
from hpcbench.training.methods.second_order.hessian_free import conjugate_gradients
from hpcbench.training.methods.second_order.levenberg_marquardt import gram, normal_equations

FLOAT = torch.float64
METHODS = ["hessian_free", "levenberg_marquardt"]
MODELS = [
    {"hidden": 3},
    {"hidden": 2, "coupling": "global", "layers": 2, "skip": True},
    {"hidden": 3, "cell": "gru", "head": [2], "target": "state"},
]


def window_of(method: Any, tools: Any, carried: bool = False) -> Window:
    states, state = tools.true_states(time=4), None
    if carried:
        with torch.no_grad():
            _, state = method.forecaster(states[:, :2], None)
    return Window(method.forecaster, states[:, :-1], states[:, 1:], state, Alone())


def dense_jacobian(window: Window) -> Tensor:
    here = window.parameters.get()
    jacobian: Any = torch.autograd.functional.jacobian(window.outputs, here)
    return jacobian.reshape(-1, len(here))


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_product_is_the_dense_matrix(
    build: Any, tools: Any, model: dict[str, Any], carried: bool
) -> None:
    window = window_of(build("hessian_free", **model), tools, carried)
    jacobian = dense_jacobian(window)
    dense = 2 / len(jacobian) * jacobian.T @ jacobian
    loss, gradient, product = window.linearised(window.parameters.get())
    columns = torch.stack([product(unit) for unit in torch.eye(len(dense), dtype=FLOAT)])
    torch.testing.assert_close(columns, dense, rtol=0, atol=1e-8)
    assert dense.abs().max() > 1e-2
    torch.testing.assert_close(columns, columns.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(columns).min() > -1e-12
    # loss and gradient are those of the ordinary backward pass
    plain = build("tbptt", **model)
    expected, _ = plain(tools.true_states(time=4), window.state, tools.rows())
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    expected.backward()
    flat = torch.cat([p.grad.flatten() for p in plain.forecaster.parameters()])
    torch.testing.assert_close(gradient, flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_structural_damping_adds_the_matrix_of_the_hidden_units(
    build: Any, tools: Any, model: dict[str, Any]
) -> None:
    window = window_of(build("hessian_free", **model), tools)
    here = window.parameters.get()
    jacobian: Any = torch.autograd.functional.jacobian(lambda v: window.traced(v)[1], here)
    moves = jacobian.reshape(-1, len(here))
    _, _, product = window.linearised(here)
    columns = torch.stack([product(unit, 0.7) for unit in torch.eye(len(here), dtype=FLOAT)])
    outputs = dense_jacobian(window)
    expected = 2 / len(outputs) * outputs.T @ outputs + 1.4 / len(moves) * moves.T @ moves
    torch.testing.assert_close(columns, expected, rtol=0, atol=1e-8)
    assert (expected - 2 / len(outputs) * outputs.T @ outputs).abs().max() > 1e-3


def test_structural_damping_shortens_the_change_of_the_hidden_units(build: Any, tools: Any) -> None:
    moved = []
    for structural in (0.0, 1e4):
        method = build("hessian_free", {"damping": 1e-2, "structural": structural}, hidden=3)
        states = tools.true_states()
        before = Window(method.forecaster, states[:, :-1], states[:, 1:], None, Alone())
        _, hidden = before.traced(before.parameters.get())
        loss, _ = method.update(states, None, tools.rows())
        after = Window(method.forecaster, states[:, :-1], states[:, 1:], None, Alone())
        assert after.loss(after.parameters.get()) < loss.item()
        moved.append((after.traced(after.parameters.get())[1] - hidden).norm().item())
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_row_squares_are_those_of_rows_one_by_one(
    build: Any, tools: Any, model: dict[str, Any], carried: bool
) -> None:
    window = window_of(build("hessian_free", **model), tools, carried)
    forecaster = window.forecaster
    rows, target = forecaster.rows(window.inputs), forecaster.outputs(window.target)
    total = torch.zeros_like(window.parameters.get())
    for row in range(len(rows)):
        part = slice(row, row + 1)
        state = None if window.state is None else tuple(s[:, part] for s in window.state)
        hidden, _ = forecaster.core(rows[part], state)
        forecaster.zero_grad()
        (forecaster.read_out(hidden, rows[part]) - target[part]).square().mean().backward()
        total += torch.cat([p.grad.flatten() ** 2 for p in forecaster.parameters()])
    squares = window.row_squares(window.parameters.get())
    torch.testing.assert_close(squares, total / len(rows), rtol=1e-10, atol=1e-14)


def test_a_preconditioner_saves_products_on_a_badly_scaled_system() -> None:
    scales = torch.logspace(0, 6, 40, dtype=FLOAT)
    torch.manual_seed(1)
    near = 0.01 * torch.randn(40, 40, dtype=FLOAT)
    matrix = torch.diag(scales) + near @ near.T
    right = torch.randn(40, dtype=FLOAT)
    expected, counts = torch.linalg.solve(matrix, right), []
    for scale in (torch.ones_like(right), scales):
        calls: list[int] = []

        def product(vector: Tensor, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            return matrix @ vector

        found, residual = conjugate_gradients(product, right, torch.zeros_like(right), 400, scale)
        counts.append(len(calls))
        torch.testing.assert_close(residual, right - matrix @ found, rtol=0, atol=1e-9)
    assert counts[1] < 0.5 * counts[0]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_normal_equations_are_the_dense_ones(
    build: Any, tools: Any, monkeypatch: Any, model: dict[str, Any], carried: bool
) -> None:
    window = window_of(build("levenberg_marquardt", **model), tools, carried)
    jacobian = dense_jacobian(window)
    error = (window.outputs(window.parameters.get()) - window.target).detach().flatten()
    monkeypatch.setattr(
        "hpcbench.training.methods.second_order.levenberg_marquardt.CHUNK_BYTES", 4000
    )
    loss, matrix, slope = normal_equations(window)
    assert loss == pytest.approx(error.square().mean().item(), rel=1e-12)
    expected = jacobian.T @ jacobian / len(error)
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(slope, jacobian.T @ error / len(error), rtol=0, atol=1e-10)


def test_columns_of_zeros_leave_the_gram_matrix_exact() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(9, 7, dtype=FLOAT)
    matrix[:, [0, 4]] = 0
    torch.testing.assert_close(gram(matrix), matrix.T @ matrix, rtol=0, atol=1e-13)
    assert not gram(0 * matrix).any()


def test_noise_moves_the_inputs_and_not_what_follows(build: Any, tools: Any) -> None:
    states, random = tools.true_states(), tools.rows(step=3)
    method = build("levenberg_marquardt", {"noise": 0.1, "damping": 1.0}, hidden=3)
    inputs = states[:, :-1] + disturbance(method.options, random, tuple(states[:, 1:].shape[1:]))
    forecaster = method.forecaster
    seen = Window(forecaster, inputs, states[:, 1:], None, Alone())
    torch.testing.assert_close(
        forecaster.next_state(inputs, seen.target), states[:, 1:], rtol=0, atol=1e-12
    )
    here, damping = seen.parameters.get(), method.damping.item()
    loss, matrix, slope = normal_equations(seen)
    matrix += damping * matrix.diagonal().mean() * torch.eye(len(here), dtype=FLOAT)
    measured, _ = method.update(states, None, random)
    assert measured.item() == loss
    assert method.damping.item() == damping / 2, "the first try was taken"
    step = seen.parameters.get() - here
    torch.testing.assert_close(step, -torch.linalg.solve(matrix, slope), rtol=1e-9, atol=1e-12)
    assert step.norm() > 1e-3


def test_a_falling_rate_averages_the_matrix_and_shortens_the_step(build: Any, tools: Any) -> None:
    rate, average = 0.1, torch.zeros(())
    method = build("levenberg_marquardt", {"rate": rate, "fall": 0.02}, hidden=3)
    for step in range(4):
        states, share = tools.true_states(seed=step), rate ** min(1.0, step / 2)
        window = Window(method.forecaster, states[:, :-1], states[:, 1:], None, Alone())
        here, damping = window.parameters.get(), method.damping.item()
        jacobian = dense_jacobian(window)
        error = (window.outputs(here) - window.target).detach().flatten()
        average = (1 - share) * average + share * jacobian.T @ jacobian / len(error)
        descent = -jacobian.T @ error / len(error)
        method.update(states, None, tools.rows(step))
        torch.testing.assert_close(method.matrix, average, rtol=0, atol=1e-12)
        damped = average + damping * average.diagonal().mean() * torch.eye(len(here), dtype=FLOAT)
        expected = share * torch.linalg.solve(damped, descent)
        moved = window.parameters.get() - here
        assert method.damping.item() == damping / 2, "the first try was taken"
        torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-12)


def test_the_rate_falls_geometrically_and_stays(build: Any) -> None:
    method = build("levenberg_marquardt", {"rate": 0.01, "fall": 0.4}, num_steps=50)
    rates = [method.rate(step) for step in range(50)]
    assert rates[:3] == pytest.approx([1.0, 0.01**0.05, 0.01**0.1])
    assert rates[10] == pytest.approx(0.1)
    assert rates[20:] == pytest.approx([0.01] * 30)
    sudden = build("levenberg_marquardt", {"rate": 0.01, "fall": 0.0})
    assert [sudden.rate(step) for step in range(3)] == pytest.approx([1.0, 0.01, 0.01])


def test_weights_that_no_output_feels_stay(build: Any, tools: Any) -> None:
    """From the zero state the forget gate has nothing to forget in the first step."""
    method = build("levenberg_marquardt", {"rate": 0.5}, hidden=3)
    layer = method.forecaster.core.layers[0]
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    states = tools.true_states(time=2)
    losses = [method.update(states, None, tools.rows(step))[0].item() for step in range(6)]
    assert losses[-1] < 0.5 * losses[0]
    assert torch.equal(layer.weight_hh, before["weight_hh"])
    for name in ("weight_ih", "bias"):
        kept = (getattr(layer, name) == before[name]).reshape(4, -1).all(1)
        assert kept.tolist() == [False, True, False, False], "of the gates i, f, g, o"


def test_conjugate_gradients_solve_a_linear_system() -> None:
    torch.manual_seed(0)
    root = torch.randn(12, 12, dtype=FLOAT)
    matrix, right = root @ root.T + torch.eye(12, dtype=FLOAT), torch.randn(12, dtype=FLOAT)
    expected = torch.linalg.solve(matrix, right)
    calls = []

    def product(vector: Tensor) -> Tensor:
        calls.append(1)
        return matrix @ vector

    none, some = torch.ones(12, dtype=FLOAT), 0.5 + torch.rand(12, dtype=FLOAT)
    starts = torch.zeros(12, dtype=FLOAT), torch.randn(12, dtype=FLOAT), expected.clone()
    for start, scale in itertools.product(starts, (none, some)):
        calls.clear()
        found, residual = conjugate_gradients(product, right, start, 100, scale)
        torch.testing.assert_close(residual, right - matrix @ found, rtol=0, atol=1e-10)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
        assert len(calls) <= 30


@pytest.mark.parametrize("name", METHODS)
def test_linear_least_squares_take_one_step(build: Any, tools: Any, name: str) -> None:
    """The polynomial cell has a linear readout only: the quadratic model is exact."""
    tiny = {"damping": 1e-12} | ({"products": 200} if name == "hessian_free" else {})
    method = build(name, tiny, cell="polynomial", cell_options={"degree": 1})
    states = tools.true_states()
    method.update(states, None, tools.rows())
    exact = build("ridge", {"penalty": 0.0}, cell="polynomial", cell_options={"degree": 1})
    exact.update(states, None, tools.rows())
    exact.settle()
    loss, _ = method.update(states, None, tools.rows())
    best, _ = exact.update(states, None, tools.rows())
    assert loss.item() == pytest.approx(best.item(), rel=1e-6)


@pytest.mark.parametrize("options", [{"structural": 0.1}, {"preconditioner": True}])
def test_options_of_hessian_free_lower_the_loss_too(
    build: Any, tools: Any, options: dict[str, Any]
) -> None:
    method, states = build("hessian_free", options, hidden=3), tools.true_states()
    losses = [method.update(states, None, tools.rows())[0].item() for _ in range(12)]
    assert all(after <= before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("model", MODELS[:2])
def test_the_loss_of_a_batch_never_rises(
    build: Any, tools: Any, name: str, model: dict[str, Any]
) -> None:
    method, states = build(name, **model), tools.true_states()
    losses = [method.update(states, None, tools.rows())[0].item() for _ in range(12)]
    assert all(after <= before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", METHODS)
def test_damping_follows_the_quality_of_the_model(build: Any, tools: Any, name: str) -> None:
    method = build(name, {"damping": 1.0}, cell="polynomial")
    method.update(tools.true_states(), None, tools.rows())
    factor = 2 / 3 if name == "hessian_free" else 0.5
    assert method.damping.item() == pytest.approx(factor)  # linear: the model is exact


def test_damping_grows_when_no_step_helps(build: Any, tools: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Window, "loss", lambda self, vector: float("inf"))
    for name, factor in (("hessian_free", 1.5), ("levenberg_marquardt", 4.0**5)):
        method = build(name, {"damping": 0.1})
        before = [p.detach().clone() for p in method.forecaster.parameters()]
        method.update(tools.true_states(), None, tools.rows())
        assert method.damping.item() == pytest.approx(0.1 * factor)
        after = method.forecaster.parameters()
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in METHODS), ("levenberg_marquardt", {"rate": 0.2})]
)
def test_a_checkpoint_holds_what_the_method_keeps(
    build: Any, tools: Any, name: str, options: dict[str, Any]
) -> None:
    whole, states = build(name, options), tools.true_states()
    whole.update(states, None, tools.rows())
    resumed = build(name, options)
    resumed.forecaster.load_state_dict(whole.forecaster.state_dict())
    resumed.restore({key: value.clone() for key, value in whole.own_state().items()})
    for method in (whole, resumed):
        method.update(states, None, tools.rows(step=1))
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("train", "model", "parts"),
    [
        ({"method": "hessian_free"}, {"cell": "lstm"}, ["fused", "lstm", "stepped_lstm"]),
        (
            {"method": "hessian_free", "options": {"preconditioner": True}},
            {"cell": "clockwork"},
            ["preconditioner", "side by side", "clockwork", "elman"],
        ),
        (
            {"method": "levenberg_marquardt"},
            {"cell": "clockwork"},
            ["side by side", "clockwork", "elman"],
        ),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    train: dict[str, Any], model: dict[str, Any], parts: list[str], tools: Any
) -> None:
    tools.assert_refused(train, model, parts)
