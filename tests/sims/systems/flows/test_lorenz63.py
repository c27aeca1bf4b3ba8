"""Lorenz-63: its equation, its fixed points, its contraction."""

import numpy as np
import pytest

from sims.systems.flows.lorenz63 import Lorenz63, Lorenz63Parameters

SYSTEM = Lorenz63(Lorenz63Parameters(sigma=10.0, rho=28.0, beta=8 / 3))


def test_right_hand_side_is_the_equation() -> None:
    x, y, z = 1.5, -2.0, 7.0
    expected = [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]
    np.testing.assert_allclose(SYSTEM.rhs(np.array([[x, y, z]])), [expected], rtol=1e-15)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_centres_of_the_wings_are_fixed_points(sign: int) -> None:
    centre = np.array([sign * np.sqrt(72), sign * np.sqrt(72), 27.0])
    np.testing.assert_allclose(SYSTEM.rhs(centre), 0, atol=1e-13)
    values = np.linalg.eigvals(SYSTEM.tangent(centre, np.eye(3)).T)
    assert np.sum(values.real > 0) == 2  # an unstable spiral


def test_volumes_shrink_at_the_same_rate_everywhere() -> None:
    for x in np.random.default_rng(0).normal(scale=10, size=(3, 3)):
        trace = np.trace(SYSTEM.tangent(x, np.eye(3)))
        assert trace == pytest.approx(-(10 + 1 + 8 / 3), rel=1e-14)


def test_reflection_commutes_with_the_flow() -> None:
    states, flip = SYSTEM.initial_states(1, range(4)), np.array([-1, -1, 1])
    mirrored = states * flip
    SYSTEM.advance(states, 0.01, 500, 500)
    SYSTEM.advance(mirrored, 0.01, 500, 500)
    np.testing.assert_array_equal(mirrored, states * flip)


def test_climate() -> None:
    states = SYSTEM.initial_states(2, range(64))
    SYSTEM.advance(states, 0.01, 1000, 1000)
    out = np.empty((64, 4000, 3))
    SYSTEM.advance(states, 0.01, 4000, 1, out)
    # d/dt (x²/2 − σ z) averages to zero on the attractor: ⟨x²⟩ = β ⟨z⟩
    assert np.mean(out[..., 0] ** 2) == pytest.approx(8 / 3 * np.mean(out[..., 2]), rel=2e-3)
    assert np.mean(out[..., 2]) == pytest.approx(23.55, abs=0.1)
