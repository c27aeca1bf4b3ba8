"""Every optimiser against its equations, and what all of them promise."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.errors import InputError
from hpcbench.run.checkpoint import optimizer_tensors, restore_optimizer
from hpcbench.training.optimizers.registry import OPTIMIZERS, build_optimizer, optimizer_options
from hpcbench.training.optimizers.schedule import learning_rate, scaled_schedule, set_learning_rate
from hpcbench.training.optimizers.scheduled_nesterov import momentum
from hpcbench.training.optimizers.soap import regular

pytestmark = pytest.mark.usefixtures("one_thread")

FLOAT = torch.float64


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(3)
    return [nn.Parameter(torch.randn(*shape, dtype=FLOAT)) for shape in ((4, 3), (4,), (1, 6))]


def gradients(step: int) -> list[Tensor]:
    torch.manual_seed(100 + step)
    return [torch.randn(*shape, dtype=FLOAT) for shape in ((4, 3), (4,), (1, 6))]


def advance(optimizer: Optimizer, weights: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        for weight, gradient in zip(weights, gradients(step), strict=True):
            weight.grad = gradient
        optimizer.step()


def build(name: str, weights: list[nn.Parameter], rate: float = 0.01, **options: Any) -> Optimizer:
    optimizer = build_optimizer(name, options, weights)
    set_learning_rate(optimizer, rate)
    return optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
class TestEveryOptimizer:
    def test_finds_the_minimum_of_a_quadratic(self, name: str) -> None:
        torch.manual_seed(0)
        matrix = torch.randn(6, 4, dtype=FLOAT)
        target = torch.randn(6, 3, dtype=FLOAT)
        weight = nn.Parameter(torch.randn(4, 3, dtype=FLOAT))
        best = torch.linalg.lstsq(matrix, target).solution
        optimizer = build(name, [weight])

        def excess() -> Tensor:
            return (matrix @ (weight - best)).square().sum()

        before, num_steps = excess().item(), 600
        rate = 1.0 if name == "stable_sgd" else 0.03
        for step in range(num_steps):
            set_learning_rate(optimizer, learning_rate(step, num_steps, rate, 0.001, 0))
            optimizer.zero_grad()
            excess().backward()
            optimizer.step()
        assert excess().item() < 1e-3 * before

    def test_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(self, name: str) -> None:
        weights = parameters()
        whole = build(name, weights)
        advance(whole, weights, range(12))
        kept = [weight.detach().clone() for weight in weights]
        tensors = {key: value.clone() for key, value in optimizer_tensors(whole).items()}
        advance(whole, weights, range(12, 25))

        resumed = [nn.Parameter(weight) for weight in kept]
        other = build(name, resumed)
        restore_optimizer(other, tensors)
        advance(other, resumed, range(12, 25))
        assert all(torch.equal(a, b) for a, b in zip(resumed, weights, strict=True))

    def test_is_defined_by_its_parameter_groups(self, name: str) -> None:
        """Horovod builds it again from them, without its arguments."""
        one, two = parameters(), parameters()
        original = build(name, one)
        groups = [{**group, "params": two} for group in original.param_groups]
        again = type(original)(groups)  # type: ignore[call-arg]
        advance(original, one, range(15))
        advance(again, two, range(15))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))

    def test_leaves_parameters_without_gradient_alone(self, name: str) -> None:
        weights = parameters()
        frozen = nn.Parameter(torch.ones(3, dtype=FLOAT), requires_grad=False)
        unused = nn.Parameter(torch.ones(3, dtype=FLOAT))
        optimizer = build(name, [*weights, frozen, unused])
        advance(optimizer, weights, range(3))
        assert (frozen == 1).all()
        assert (unused == 1).all()

    def test_wrong_options_are_refused(self, name: str) -> None:
        with pytest.raises(InputError, match="unknown key"):
            optimizer_options(name, {"momentun": 1})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match='did you mean "soap"'):
        optimizer_options("soup", {})


# -------------------------------------------------------------------------------- each by itself


def test_momentum_schedule() -> None:
    assert momentum(0, 0.99) == 0.5
    assert momentum(249, 0.99) == 0.5
    assert momentum(250, 0.99) == 0.75
    assert momentum(999, 0.99) == 1 - 2 ** (-1 - math.log2(4))
    assert momentum(10**6, 0.99) == 0.99


def test_scheduled_nesterov_looks_ahead() -> None:
    """v = mu v - eta grad L(theta + mu v) on a quadratic, written with its own variables."""
    torch.manual_seed(4)
    hessian = torch.diag(torch.rand(5, dtype=FLOAT) + 0.1)
    point = torch.randn(5, dtype=FLOAT)
    weight = nn.Parameter(point.clone())
    optimizer = build("scheduled_nesterov", [weight], rate=0.1)
    velocity = torch.zeros(5, dtype=FLOAT)
    for step in range(600):
        mu = momentum(step, 0.99)
        velocity = mu * velocity - 0.1 * hessian @ (point + mu * velocity)
        point = point + velocity
        optimizer.zero_grad()
        (0.5 * weight @ hessian @ weight).backward()
        optimizer.step()
        ahead = point + momentum(step + 1, 0.99) * velocity
        torch.testing.assert_close(weight.detach(), ahead, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_lars_step_does_not_depend_on_the_scale_of_the_gradient(factor: float) -> None:
    weights, scaled = parameters(), parameters()
    advance(build("lars", weights), weights, range(1))
    optimizer = build("lars", scaled)
    for weight, gradient in zip(scaled, gradients(0), strict=True):
        weight.grad = factor * gradient
    optimizer.step()
    for one, other in zip(weights, scaled, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_lars_first_step_is_its_equation() -> None:
    start, weights = parameters(), parameters()
    advance(build("lars", weights, decay=0.1, trust=0.5), weights, range(1))
    for before, after, gradient in zip(start, weights, gradients(0), strict=True):
        rate = 0.01 * 0.5 * before.norm() / (gradient.norm() + 0.1 * before.norm())
        expected = before - rate * (gradient + 0.1 * before)
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-14)


def test_lamb_first_step_is_its_equation() -> None:
    start, weights = parameters(), parameters()
    advance(build("lamb", weights, decay=0.1), weights, range(1))
    for before, after, gradient in zip(start, weights, gradients(0), strict=True):
        step = gradient / (gradient.abs() + 1e-6) + 0.1 * before
        expected = before - 0.01 * before.norm() / step.norm() * step
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-12)


def test_stable_sgd_is_bounded_and_its_equation() -> None:
    start, weights = parameters(), parameters()
    advance(build("stable_sgd", weights, rate=1.0), weights, range(1))
    square = sum(gradient.square().sum() for gradient in gradients(0))
    length = 0.0
    for before, after, gradient in zip(start, weights, gradients(0), strict=True):
        torch.testing.assert_close(after, before - gradient / (1 + square), rtol=0, atol=1e-14)
        length += (after - before).detach().square().sum().item()
    assert math.sqrt(length) <= 0.5


def test_soap_in_a_fixed_basis_is_adam_there() -> None:
    """With bases that are never updated: turn the gradients, take Adam's step, turn back."""
    torch.manual_seed(6)
    weight = nn.Parameter(torch.randn(4, 3, dtype=FLOAT))
    optimizer = build("soap", [weight], frequency=10**6)
    first = torch.randn(4, 3, dtype=FLOAT)
    weight.grad = first
    start = weight.detach().clone()
    optimizer.step()
    assert torch.equal(weight, start)  # the first gradient only sets the bases
    left = torch.linalg.eigh(regular(0.05 * first @ first.T)).eigenvectors.flip(1)
    right = torch.linalg.eigh(regular(0.05 * first.T @ first)).eigenvectors.flip(1)
    turned = nn.Parameter(left.T @ start @ right)
    adam = torch.optim.Adam([turned], lr=0.01, betas=(0.95, 0.95), eps=1e-8)
    for _ in range(20):
        gradient = torch.randn(4, 3, dtype=FLOAT)
        weight.grad, turned.grad = gradient, left.T @ gradient @ right
        optimizer.step()
        adam.step()
    torch.testing.assert_close(weight.data, left @ turned.data @ right.T, rtol=0, atol=1e-12)


def test_soap_bases_stay_orthogonal_and_find_the_eigenvectors() -> None:
    torch.manual_seed(7)
    weight = nn.Parameter(torch.zeros(4, 3, dtype=FLOAT))
    optimizer = build("soap", [weight], frequency=1)
    spread = torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=FLOAT))
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=FLOAT)).Q
    for _ in range(200):
        weight.grad = rotation @ spread @ torch.randn(4, 3, dtype=FLOAT)
        optimizer.step()
    state = optimizer.state[weight]
    for side, size in ((0, 4), (1, 3)):
        basis = state[f"basis{side}"]
        eye = torch.eye(size, dtype=FLOAT)
        torch.testing.assert_close(basis.T @ basis, eye, rtol=0, atol=1e-12)
    diagonal = state["basis0"].T @ state["moment0"] @ state["basis0"]
    off = diagonal - torch.diag(diagonal.diagonal())
    assert off.norm() < 0.1 * diagonal.norm()


def test_soap_does_not_let_rounding_choose_a_basis() -> None:
    """Gradients of rank 1 leave most directions alike; a rounding error must not turn them."""
    ends = []
    for error in (0.0, 1e-15):
        torch.manual_seed(8)
        weight = nn.Parameter(torch.zeros(12, 9, dtype=FLOAT))
        optimizer = build("soap", [weight], frequency=3)
        for _ in range(8):
            gradient = torch.outer(torch.randn(12, dtype=FLOAT), torch.randn(9, dtype=FLOAT))
            weight.grad = gradient + error * torch.randn(12, 9, dtype=FLOAT)
            optimizer.step()
        ends.append(weight.detach().clone())
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-7)
    assert ends[0].abs().max() > 0.01


def test_soap_leaves_vectors_and_long_sides_to_adam() -> None:
    weights = [
        nn.Parameter(torch.ones(3, dtype=FLOAT)),
        nn.Parameter(torch.ones(2, 9, dtype=FLOAT)),
    ]
    optimizer = build("soap", weights, largest=8)
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert not any("basis" in key for key in optimizer.state[weights[0]])
    kept = {key for key in optimizer.state[weights[1]] if "basis" in key}
    assert kept == {"basis0"}


# ---------------------------------------------------------------------------- learning-rate rules


def test_one_reference_batch_changes_nothing() -> None:
    for rule in ("none", "linear", "sqrt", "legw"):
        assert scaled_schedule(rule, 1.0, 0.1, 7) == (0.1, 7)  # type: ignore[arg-type]


def test_scaling_rules() -> None:
    assert scaled_schedule("linear", 4.0, 0.1, 8) == (pytest.approx(0.4), 2)
    assert scaled_schedule("sqrt", 4.0, 0.1, 8) == (pytest.approx(0.2), 2)
    assert scaled_schedule("legw", 4.0, 0.1, 8) == (pytest.approx(0.2), 8)
    assert scaled_schedule("none", 4.0, 0.1, 8) == (0.1, 8)


def test_warm_up_is_linear() -> None:
    rates = [learning_rate(step, 100, 1.0, 0.0, 10) for step in range(10)]
    assert rates == pytest.approx([(step + 1) / 10 for step in range(10)])
