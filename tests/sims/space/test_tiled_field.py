"""The compiled four-step transform by one process, against the readable ones."""

import numpy as np
import pytest

from hpcbench.parallel.ranks import Ranks
from sims.kernels.four_step import SMALLEST_NUM_POINTS, TILE, split_size
from sims.space.tiled_field import TiledField, most_ranks
from sims.systems.flows.kuramoto_sivashinsky import (
    KuramotoSivashinsky,
    KuramotoSivashinskyParameters,
)


def system(num_points, length=None):
    length = 22.0 * num_points / 64 if length is None else length
    parameters = KuramotoSivashinskyParameters(num_points=num_points, domain_length=length)
    return KuramotoSivashinsky(parameters, kernel="reference")


def loaded(equation, state, step=0.25):
    field = TiledField(equation, step, Ranks())
    field.load(field.arrange(state))
    return field


@pytest.mark.parametrize("bits", range(9, 18))
def test_steps_are_those_of_the_numpy_scheme(variant, bits):
    equation = system(1 << bits)
    states = equation.initial_states(1, range(1))
    field = loaded(equation, states[0])
    # once there and back
    np.testing.assert_allclose(field.restore(field.values()), states[0], rtol=0, atol=2e-14)
    field.advance(5)
    equation.advance(states, 0.25, 5, 5)
    # Rounding errors of all points have one spread whatever their number; the largest of N of them
    # does not, and 2^17 normal ones reach 4.5 spreads.
    error = field.restore(field.values()) - states[0]
    assert np.sqrt(np.mean(error**2)) < 4e-14
    assert np.max(np.abs(error)) < 5 * 4e-14


def test_every_wave_of_a_rough_field_is_treated_alike():
    # white noise: the highest wave and both rows that hold k and −k count as much as all others
    equation = system(2048, length=500.0)
    state = np.random.default_rng(0).standard_normal(2048)
    field = loaded(equation, state, step=0.001)
    field.advance(3)
    equation.advance(state[None], 0.001, 3, 3)
    np.testing.assert_allclose(field.restore(field.values()), state, rtol=0, atol=1e-12)


def test_the_mean_stays_to_the_last_bits_and_small_waves_grow():
    equation = system(1024, length=352.0)
    q = 2 * np.pi * 40 / 352.0
    x = np.arange(1024) * 352.0 / 1024
    field = loaded(equation, 0.5 + 1e-9 * np.cos(q * x))
    field.advance(40)
    found = field.restore(field.values())
    assert found.mean() == pytest.approx(0.5, abs=1e-15)
    wave = 1e-9 * np.exp(10 * (q**2 - q**4)) * np.cos(q * (x - 0.5 * 10))
    np.testing.assert_allclose(found - 0.5, wave, rtol=0, atol=1e-5 * np.abs(wave).max())


def test_a_field_stays_real_and_bounded_for_long():
    # k₁ = 16 is kept together with its conjugate, and 16 is an unstable wave
    equation = system(512, length=176.0)
    field = loaded(equation, equation.initial_states(1, range(1))[0])
    field.advance(4000)
    values = field.restore(field.values())
    assert np.sqrt(np.mean(values**2)) == pytest.approx(1.3, abs=0.3)
    assert np.mean(values) == pytest.approx(0, abs=1e-12)


def test_sizes_are_powers_of_two_near_to_each_other():
    assert split_size(1 << 20) == (1024, 1024)
    assert split_size(SMALLEST_NUM_POINTS) == (32, 16)
    for bits in range(9, 24):
        first, second = split_size(1 << bits)
        assert first * second == 1 << bits
        assert first in (second, 2 * second)
        assert 1 <= most_ranks(1 << bits) <= second // TILE
