"""Gauss–Newton products, conjugate gradients, Hessian-free and Levenberg–Marquardt steps."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from hpcbench.communicator import Alone
from hpcbench.config import validate
from hpcbench.errors import InputError
from hpcbench.methods.curvature import Window
from hpcbench.methods.hessian_free import conjugate_gradients
from hpcbench.methods.levenberg_marquardt import normal_equations
from hpcbench.run_config import RunConfig

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
    return Window(method.forecaster, states, state, Alone())


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
    torch.testing.assert_close(columns, columns.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(columns).min() > -1e-12
    # loss and gradient are those of the ordinary backward pass
    plain = build("tbptt", **model)
    expected, _ = plain(tools.true_states(time=4), window.state, tools.rows())
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    expected.backward()
    flat = torch.cat([p.grad.flatten() for p in plain.forecaster.parameters()])
    torch.testing.assert_close(gradient, flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_normal_equations_are_the_dense_ones(
    build: Any, tools: Any, monkeypatch: Any, model: dict[str, Any], carried: bool
) -> None:
    window = window_of(build("levenberg_marquardt", **model), tools, carried)
    jacobian = dense_jacobian(window)
    error = (window.outputs(window.parameters.get()) - window.target).detach().flatten()
    monkeypatch.setattr("hpcbench.methods.levenberg_marquardt.CHUNK_BYTES", 4000)
    loss, matrix, slope = normal_equations(window)
    assert loss == pytest.approx(error.square().mean().item(), rel=1e-12)
    expected = jacobian.T @ jacobian / len(error)
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(slope, jacobian.T @ error / len(error), rtol=0, atol=1e-10)


def test_conjugate_gradients_solve_a_linear_system() -> None:
    torch.manual_seed(0)
    root = torch.randn(12, 12, dtype=FLOAT)
    matrix, right = root @ root.T + torch.eye(12, dtype=FLOAT), torch.randn(12, dtype=FLOAT)
    expected = torch.linalg.solve(matrix, right)
    calls = []

    def product(vector: Tensor) -> Tensor:
        calls.append(1)
        return matrix @ vector

    for start in (torch.zeros(12, dtype=FLOAT), torch.randn(12, dtype=FLOAT), expected.clone()):
        calls.clear()
        found, residual = conjugate_gradients(product, right, start, 100)
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


@pytest.mark.parametrize("name", METHODS)
def test_a_checkpoint_holds_what_the_method_keeps(build: Any, tools: Any, name: str) -> None:
    whole, states = build(name), tools.true_states()
    whole.update(states, None, tools.rows())
    resumed = build(name)
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
            {"method": "levenberg_marquardt"},
            {"cell": "clockwork"},
            ["side by side", "clockwork", "elman"],
        ),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    train: dict[str, Any], model: dict[str, Any], parts: list[str]
) -> None:
    data = {"train": {"steps": 1, **train}, "model": model}
    with pytest.raises(InputError) as error:
        validate(RunConfig, data, "train.toml")
    for part in parts:
        assert part in str(error.value)
