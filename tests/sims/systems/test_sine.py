"""Sine waves: the recursion that an oracle needs, and noise that is what it says."""

from pathlib import Path

import numpy as np
import pytest

import sims
from sims.generation.spec import read_spec
from sims.systems.sine import NoisySine, NoisySineParameters, Sine, SineParameters

SPECS = Path(sims.__file__).parent / "specs"


def test_samples_are_sines_and_obey_the_recursion() -> None:
    spec = read_spec(SPECS / "sine.toml")
    step, system = spec.integration.step, Sine(SineParameters(angular_frequency=1.0))
    assert step == 4 * np.pi / 999  # 1000 points over two periods
    states, out = np.array([[0.0, 1.0]]), np.empty((1, 999, 2))
    system.advance(states, step, 999, 1, out)
    x = np.concatenate([[0.0], out[0, :, 0]])
    np.testing.assert_allclose(x, np.sin(np.linspace(0, 4 * np.pi, 1000)), atol=1e-12)
    np.testing.assert_allclose(x[2:], 2 * np.cos(step) * x[1:-1] - x[:-2], atol=1e-12)


def test_noise_is_uniform_independent_and_added_to_the_sine() -> None:
    system = NoisySine(NoisySineParameters(angular_frequency=0.02, noise=2.0))
    states, out = system.initial_states(1, range(40)), np.empty((40, 1000, 4))
    system.advance(states, 1.0, 1000, 1, out)
    observed, sine, cosine, noise = np.moveaxis(out, -1, 0)
    np.testing.assert_allclose(observed, sine + 2 * noise, rtol=1e-14)
    np.testing.assert_allclose(sine**2 + cosine**2, 1, rtol=1e-14)
    turned = sine[:, :-1] * np.cos(0.02) + cosine[:, :-1] * np.sin(0.02)
    np.testing.assert_allclose(sine[:, 1:], turned, atol=1e-12)
    assert 0 <= noise.min() < 0.001
    assert 0.999 < noise.max() < 1
    assert np.mean(noise) == pytest.approx(0.5, abs=0.01)
    assert np.std(2 * noise) == pytest.approx(2 / np.sqrt(12), rel=0.01)
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.02
