"""Convergence order of every integrator, and where one becomes the other."""

import itertools
from typing import Any

import numpy as np
import pytest

from sims.schemes.etdrk4 import ETDRK4
from sims.schemes.rk4 import rk4_step
from sims.systems.flows.kuramoto_sivashinsky import (
    KuramotoSivashinsky,
    KuramotoSivashinskyParameters,
)
from sims.systems.flows.lorenz96 import Lorenz96, Lorenz96Parameters

CASES = {
    # system, spin-up and interval in model time, coarsest step
    "rk4": (Lorenz96(Lorenz96Parameters(num_sites=40, forcing=8.0)), 5.0, 0.4, 0.01),
    # 16 points: with more, the damping of the shortest waves is so stiff (q⁴ h > 1) that the
    # fourth order shows only at steps far below those in use
    "etdrk4": (
        KuramotoSivashinsky(KuramotoSivashinskyParameters(num_points=16, domain_length=22.0)),
        100.0,
        1.0,
        1 / 32,
    ),
}


@pytest.mark.parametrize("scheme", CASES)
def test_halving_the_step_divides_the_error_by_sixteen(scheme: str) -> None:
    system, spin_up, interval, step = CASES[scheme]
    start = system.initial_states(8, range(4))
    spin_up_steps = round(spin_up / (4 * step))
    system.advance(start, 4 * step, spin_up_steps, spin_up_steps)

    def end(size: float) -> np.ndarray:
        states, num_steps = start.copy(), round(interval / size)
        system.advance(states, size, num_steps, num_steps)
        return states

    exact = end(step / 16)
    errors = [np.linalg.norm(end(size) - exact) for size in (step, step / 2, step / 4)]
    for coarse, fine in itertools.pairwise(errors):
        assert 14 < coarse / fine < 18


@pytest.mark.parametrize(("scheme", "order"), [("etdab4", 4), ("etd_pece", 5)])
def test_order_of_the_multistep_schemes(scheme: str, order: int) -> None:
    parameters = KuramotoSivashinskyParameters(num_points=16, domain_length=22.0)
    system = KuramotoSivashinsky(parameters, scheme, "reference")
    start = system.initial_states(8, range(4))
    KuramotoSivashinsky(parameters).advance(start, 0.125, 800, 800)

    def end(size: float) -> np.ndarray:
        states, num_steps = start.copy(), round(1 / size)
        system.advance(states, size, num_steps, num_steps)
        return states

    exact = end(1 / 1024)
    errors = [np.linalg.norm(end(size) - exact) for size in (1 / 32, 1 / 64, 1 / 128)]
    for coarse, fine in itertools.pairwise(errors):
        assert 0.8 * 2**order < coarse / fine < 1.25 * 2**order


def nonlinear(v: np.ndarray) -> np.ndarray:
    return np.stack([v[..., 1] ** 2, -v[..., 0] * v[..., 1]], axis=-1)


def test_etdrk4_without_linear_part_is_rk4() -> None:
    v = np.random.default_rng(0).normal(size=(3, 2))
    stepper = ETDRK4(np.zeros(2), nonlinear, 0.1)
    np.testing.assert_allclose(stepper(v), rk4_step(nonlinear, v, 0.1), rtol=1e-14)


def test_etdrk4_without_nonlinear_part_is_exact() -> None:
    linear = np.array([0.3, 0.0, -5.0, -1e5])
    stepper = ETDRK4(linear, np.zeros_like, 0.25)
    np.testing.assert_allclose(stepper(np.ones(4)), np.exp(0.25 * linear), rtol=1e-14)


def test_etdrk4_keeps_a_fixed_point_of_the_whole_equation() -> None:
    # L v + N(v) = 0 with constant N: exact whatever the step
    linear = np.array([-1.0, -30.0])
    stepper = ETDRK4(linear, lambda v: np.broadcast_to(-linear, v.shape), 0.5)
    np.testing.assert_allclose(stepper(np.ones(2)), 1, rtol=1e-13)


def test_etdrk4_coefficients_agree_with_the_formulas_where_those_are_accurate() -> None:
    z, step = np.array([-40.0, -8.0, -3.0, 2.0]), 0.2
    stepper = ETDRK4(z / step, np.zeros_like, step)
    e = np.exp(z)
    formulas: dict[str, Any] = {
        "q": (np.exp(z / 2) - 1) / z,
        "alpha": (-4 - z + e * (4 - 3 * z + z**2)) / z**3,
        "beta": (2 + z + e * (z - 2)) / z**3,
        "gamma": (-4 - 3 * z - z**2 + e * (4 - z)) / z**3,
    }
    for name, formula in formulas.items():
        np.testing.assert_allclose(getattr(stepper, name), step * formula, rtol=1e-12)


def test_etdrk4_coefficients_at_zero_are_those_of_rk4() -> None:
    stepper = ETDRK4(np.array([0.0, 1e-9]), np.zeros_like, 1.0)
    for name, value in (("q", 1 / 2), ("alpha", 1 / 6), ("beta", 1 / 6), ("gamma", 1 / 6)):
        np.testing.assert_allclose(getattr(stepper, name), value, rtol=1e-8)
        assert getattr(stepper, name)[0] == pytest.approx(value, rel=1e-14)
