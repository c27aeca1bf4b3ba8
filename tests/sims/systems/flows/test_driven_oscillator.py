"""The damped driven oscillator against its closed solutions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sims
from hpcbench.errors import InputError
from sims.generation.spec import read_spec
from sims.systems.flows.driven_oscillator import DrivenOscillator, DrivenOscillatorParameters

SPEC = Path(sims.__file__).parent / "specs" / "driven_oscillator.toml"


def make(scheme: str = "rk4", **changes: Any) -> DrivenOscillator:
    parameters = {"damping": 0.2, "drive_amplitude": 0.0, "drive_frequency": 0.9, **changes}
    return DrivenOscillator(DrivenOscillatorParameters(**parameters), scheme)


def run(system: DrivenOscillator, step: float, num_steps: int) -> np.ndarray:
    states, out = np.array([[1.0, -0.5, 1.0, 0.0]]), np.empty((1, num_steps, 4))
    system.advance(states, step, num_steps, 1, out)
    return out[0]


def test_free_oscillation() -> None:
    out, eta = run(make(), 0.01, 2000), 0.2
    t, omega = 0.01 * np.arange(1, 2001), np.sqrt(1 - eta**2 / 4)
    exact = np.exp(-eta * t / 2) * (
        np.cos(omega * t) + (-0.5 + eta / 2) / omega * np.sin(omega * t)
    )
    np.testing.assert_allclose(out[:, 0], exact, atol=1e-9)


@pytest.mark.parametrize("frequency", [0.5, 0.9, 1.7])
def test_amplitude_of_the_forced_oscillation(frequency: float) -> None:
    system = make(drive_amplitude=1.5, drive_frequency=frequency)
    out = run(system, 0.05, 6000)[4000:]
    expected = 1.5 / np.sqrt((1 - frequency**2) ** 2 + (0.2 * frequency) ** 2)
    in_phase, out_of_phase = (2 * np.mean(out[:, 0] * out[:, c]) for c in (2, 3))
    assert np.hypot(in_phase, out_of_phase) == pytest.approx(expected, rel=0.02)
    assert np.abs(out[:, 0]).max() == pytest.approx(expected, rel=1e-3)


def test_the_force_keeps_its_amplitude_and_its_phase() -> None:
    out = run(make(drive_amplitude=1.0), 0.05, 4000)
    phase = 0.9 * 0.05 * np.arange(1, 4001)
    np.testing.assert_allclose(out[:, 2:], np.stack([np.cos(phase), np.sin(phase)], -1), atol=1e-10)


def test_euler_is_the_recursion_of_the_lecture() -> None:
    out, x, v, eta, step = run(make("euler", drive_amplitude=2.0), 0.01, 50), 1.0, -0.5, 0.2, 0.01
    for n in range(50):
        force = 2.0 * np.cos(0.9 * n * step)
        v, x = v + step * (force - eta * v - x), x + step * v
        np.testing.assert_allclose(out[n, :2], [x, v], atol=1e-13)


@pytest.mark.parametrize(("damping", "step"), [(0.2, 0.1), (1.0, 0.3)])
def test_euler_multiplies_deviations_by_the_known_factor(damping: float, step: float) -> None:
    system = make("euler", damping=damping)
    take_step = system.linearised_stepper(step)
    columns = take_step(np.concatenate([np.zeros((1, 3)), np.eye(3)])[None])[0, 1:].T
    moduli = np.sort(np.abs(np.linalg.eigvals(columns)))
    np.testing.assert_allclose(moduli[:2], np.sqrt(1 - damping * step + step**2), rtol=1e-14)
    assert moduli[2] == pytest.approx(1)  # the phase


def test_orders_of_the_schemes() -> None:
    for scheme, order in (("euler", 1), ("rk4", 4)):
        system = make(scheme, drive_amplitude=1.0)
        exact = run(make(drive_amplitude=1.0), 1 / 512, 512)[-1]
        errors = [np.linalg.norm(run(system, 1 / n, n)[-1] - exact) for n in (16, 32)]
        assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


def test_unstable_steps_are_refused() -> None:
    assert make("euler").step_obstacle(0.19) is None
    assert make("rk4").step_obstacle(2.6) is None
    with pytest.raises(InputError, match=r"step: is unstable with euler.* stable for h < η = 0.2"):
        read_spec(SPEC, ["--integration.scheme=euler", "--integration.step=0.21"])
    assert "unstable with rk4" in str(make("rk4").step_obstacle(3.2))
