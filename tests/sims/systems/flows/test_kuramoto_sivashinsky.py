"""Kuramoto–Sivashinsky: its linear waves, its symmetries, its conservation laws, its climate."""

import numpy as np
import pytest

from sims.systems.flows.kuramoto_sivashinsky import (
    KuramotoSivashinsky,
    KuramotoSivashinskyParameters,
)


def make(num_points: int = 64, domain_length: float = 22.0) -> KuramotoSivashinsky:
    return KuramotoSivashinsky(
        KuramotoSivashinskyParameters(num_points=num_points, domain_length=domain_length)
    )


@pytest.fixture(scope="module")
def attractor() -> np.ndarray:
    """Eight states on the attractor at L = 22."""
    system = make()
    states = system.initial_states(5, range(8))
    system.advance(states, 0.25, 800, 800)
    return states


@pytest.mark.parametrize("wave", [1, 2, 3, 4, 6])
def test_small_waves_grow_at_the_linear_rate(wave: int) -> None:
    system, amplitude = make(), 1e-8
    q = 2 * np.pi * wave / 22
    cosine = np.cos(q * np.arange(64) * 22 / 64)
    states = amplitude * cosine[None]
    system.advance(states, 0.25, 8, 8)
    growth = 2 * np.mean(states * cosine) / amplitude
    assert growth == pytest.approx(np.exp((q**2 - q**4) * 2.0), rel=1e-6)


@pytest.mark.parametrize(("domain_length", "num_unstable"), [(22.0, 3), (36.0, 5), (200.0, 31)])
def test_number_of_unstable_waves(domain_length: float, num_unstable: int) -> None:
    assert np.sum(make(512, domain_length).linear > 0) == num_unstable


def test_nonlinear_part_is_that_of_a_product_of_waves() -> None:
    # u = sin q x: −u u_x = −(q / 2) sin 2 q x
    system, q = make(), 2 * np.pi / 22
    x = np.arange(64) * 22 / 64
    found = np.fft.irfft(system.nonlinear(np.fft.rfft(np.sin(q * x))), n=64)
    np.testing.assert_allclose(found, -q / 2 * np.sin(2 * q * x), atol=1e-14)


def test_mean_is_conserved(attractor: np.ndarray) -> None:
    # with a mean the waves travel; the mean itself may not move
    states = attractor + np.linspace(-1, 1, 8)[:, None]
    before = states.mean(axis=-1)
    make().advance(states, 0.25, 400, 400)
    np.testing.assert_allclose(states.mean(axis=-1), before, rtol=0, atol=1e-12)


def test_reflection_commutes_with_the_flow(attractor: np.ndarray) -> None:
    reflect = -np.roll(attractor[:, ::-1], 1, axis=-1)  # u(x) → −u(−x), with x = 0 in its place
    states = attractor.copy()
    make().advance(states, 0.25, 40, 40)
    make().advance(reflect, 0.25, 40, 40)
    np.testing.assert_allclose(reflect, -np.roll(states[:, ::-1], 1, axis=-1), atol=1e-11)


def test_translation_commutes_with_the_flow(attractor: np.ndarray) -> None:
    states, rolled = attractor.copy(), np.roll(attractor, 17, axis=-1)
    make().advance(states, 0.25, 40, 40)
    make().advance(rolled, 0.25, 40, 40)
    np.testing.assert_allclose(rolled, np.roll(states, 17, axis=-1), atol=1e-11)


def test_galilean_invariance(attractor: np.ndarray) -> None:
    # u(x, t) + c travels with speed c: after t = L / c it is back where it would have been
    states, moving, speed = attractor.copy(), attractor + 2.2, 2.2
    steps_per_turn = round(22 / speed / 0.025)
    make().advance(states, 0.025, steps_per_turn, steps_per_turn)
    make().advance(moving, 0.025, steps_per_turn, steps_per_turn)
    np.testing.assert_allclose(moving - speed, states, atol=1e-4)


def test_energy_balance_and_climate() -> None:
    # d/dt ⟨u²⟩/2 = ⟨u_x²⟩ − ⟨u_xx²⟩
    system, step, num_steps = make(), 0.25, 1200
    states = system.initial_states(6, range(64))
    system.advance(states, step, 800, 800)
    out = np.empty((64, num_steps + 1, 64))
    out[:, 0] = states
    system.advance(states, step, num_steps, 1, out[:, 1:])
    spectrum = np.abs(np.fft.rfft(out)) ** 2
    spectrum[..., 1:-1] *= 2  # Parseval on half a spectrum
    q = system.wavenumbers
    weights = np.full(num_steps + 1, 1 / num_steps)
    weights[[0, -1]] /= 2
    first, second = (
        np.einsum("t,btn,n->", weights, spectrum, q**power) / (64 * 64**2) for power in (2, 4)
    )
    energy = np.mean(out**2, axis=(0, 2)) / 2
    missing = (energy[-1] - energy[0]) / (num_steps * step)
    assert first - second - missing == pytest.approx(0, abs=1e-4 * first)
    assert np.sqrt(np.mean(out**2)) == pytest.approx(1.19, rel=0.02)


def test_initial_states_are_smooth_with_zero_mean_and_unit_variance() -> None:
    for domain_length in (5.0, 22.0, 200.0):  # the first has no unstable wave
        system = make(256, domain_length)
        states = system.initial_states(7, range(4))
        np.testing.assert_allclose(states.mean(axis=-1), 0, atol=1e-13)
        np.testing.assert_allclose(np.mean(states**2, axis=-1), 1, rtol=1e-12)
        assert not (np.abs(np.fft.rfft(states))[:, system.wavenumbers > 2] > 1e-10).any()
