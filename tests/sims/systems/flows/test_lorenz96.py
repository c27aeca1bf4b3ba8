"""Lorenz-96: its equation, its conservation laws and its climate."""

import itertools

import numpy as np
import pytest

from sims.systems.flows.lorenz96 import Lorenz96, Lorenz96Parameters


def make(num_sites: int = 40, forcing: float = 8.0) -> Lorenz96:
    return Lorenz96(Lorenz96Parameters(num_sites=num_sites, forcing=forcing))


def test_right_hand_side_is_the_equation_site_by_site() -> None:
    system = make(num_sites=7, forcing=3.5)
    x = np.random.default_rng(0).normal(size=(2, 7))
    expected = np.empty_like(x)
    for b, i in itertools.product(range(2), range(7)):
        advection = (x[b, (i + 1) % 7] - x[b, (i - 2) % 7]) * x[b, (i - 1) % 7]
        expected[b, i] = advection - x[b, i] + 3.5
    np.testing.assert_allclose(system.rhs(x), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("forcing", [-2.0, 0.0, 8.0, 10.0])
def test_the_uniform_state_at_the_forcing_is_a_fixed_point(forcing: float) -> None:
    state = np.full((1, 40), forcing)
    assert not make(forcing=forcing).rhs(state).any()


def test_advection_conserves_the_energy() -> None:
    system = make(forcing=0.0)
    x = np.random.default_rng(1).normal(size=(5, 40))
    production = np.sum(x * (system.rhs(x) + x), axis=-1)
    np.testing.assert_allclose(production, 0, atol=1e-12)


def test_lyapunov_exponents_add_up_to_minus_the_number_of_sites() -> None:
    # the sum is the mean divergence of the flow, which is the same everywhere: −N
    system, x, shift = make(), np.random.default_rng(2).normal(size=40), 1e-3
    divergence = sum(
        (system.rhs(x + shift * unit) - system.rhs(x - shift * unit))[i] / (2 * shift)
        for i, unit in enumerate(np.eye(40))
    )
    assert divergence == pytest.approx(-40, abs=1e-9)


def test_translation_commutes_with_the_flow_to_the_last_bit() -> None:
    system = make()
    states = system.initial_states(3, range(2))
    rolled = np.roll(states, 11, axis=-1)
    system.advance(states, 0.01, 300, 300)
    system.advance(rolled, 0.01, 300, 300)
    np.testing.assert_array_equal(rolled, np.roll(states, 11, axis=-1))


@pytest.mark.parametrize(("forcing", "mean", "std"), [(8.0, 2.35, 3.64), (10.0, 2.59, 4.38)])
def test_energy_balance_and_climate(forcing: float, mean: float, std: float) -> None:
    # d/dt Σx²/2 = F Σx − Σx², so over a time T the balance ⟨x²⟩ = F ⟨x⟩ misses by the change of
    # the energy over T, and by nothing else
    system, step, num_steps = make(forcing=forcing), 0.01, 2000
    states = system.initial_states(4, range(32))
    system.advance(states, step, 1000, 1000)
    out = np.empty((32, num_steps + 1, 40))
    out[:, 0] = states
    system.advance(states, step, num_steps, 1, out[:, 1:])
    weights = np.full(num_steps + 1, 1 / num_steps)
    weights[[0, -1]] /= 2  # trapezoidal rule
    square, linear = (np.einsum("t,btc->", weights, out**power) / (32 * 40) for power in (2, 1))
    energy = np.mean(out**2, axis=(0, 2)) / 2
    missing = (energy[-1] - energy[0]) / (num_steps * step)
    assert square - forcing * linear + missing == pytest.approx(0, abs=2e-3)
    assert linear == pytest.approx(mean, rel=0.02)
    assert np.sqrt(square - linear**2) == pytest.approx(std, rel=0.02)
