"""The Lyapunov exponents that forecasts are scored with, against ones measured here.

The exponent is the mean growth rate of the distance of two nearby trajectories, brought back to
its first size before it leaves the linear range (G. Benettin et al. 1980,
doi:10.1007/BF02128236).
"""

from pathlib import Path

import numpy as np
import pytest

import sims.spec
from sims.spec import read_spec

pytestmark = pytest.mark.validation

DISTANCE = 1e-7
AGREEMENT = 0.03
"""Relative: what the published values differ by among themselves."""

CASES = {
    # specification: members, spin-up, model time averaged over, model time between two returns
    "lorenz96_f8": (128, 20.0, 60.0, 0.5),
    "lorenz96_f10": (128, 20.0, 60.0, 0.5),
    "kuramoto_sivashinsky_l22": (64, 200.0, 1500.0, 5.0),
    "kuramoto_sivashinsky_l36": (48, 200.0, 800.0, 5.0),
    "kuramoto_sivashinsky_l60": (48, 200.0, 800.0, 5.0),
    "kuramoto_sivashinsky_l100": (32, 200.0, 800.0, 5.0),
    "kuramoto_sivashinsky_l200": (32, 200.0, 800.0, 5.0),
}


@pytest.mark.parametrize("name", CASES)
def test_reference_exponent(name: str) -> None:
    members, spin_up, duration, interval = CASES[name]
    spec = read_spec(Path(sims.spec.__file__).parent / "specs" / f"{name}.toml")
    system, step = spec.build_system(), spec.integration.step
    states = system.initial_states(11, range(members))
    spin_up_steps, num_steps = round(spin_up / step), round(interval / step)
    system.advance(states, step, spin_up_steps, spin_up_steps)
    shift = np.random.default_rng(0).normal(size=states.shape)
    if spec.system == "kuramoto_sivashinsky":
        shift -= shift.mean(axis=1, keepdims=True)  # the mean is conserved: not a direction
    rates = []
    for _ in range(round(duration / interval)):
        shift *= DISTANCE / np.linalg.norm(shift, axis=1, keepdims=True)
        both = np.concatenate([states, states + shift])
        system.advance(both, step, num_steps, num_steps)
        states, shift = both[:members], both[members:] - both[:members]
        rates.append(np.log(np.linalg.norm(shift, axis=1) / DISTANCE) / interval)
    settled = np.array(rates)[len(rates) // 6 :].mean(axis=0)  # after the shift has turned
    error = settled.std(ddof=1) / np.sqrt(members)
    reference, _ = system.reference_lyapunov_exponent() or (np.nan, "")
    print(f"{name}: {settled.mean():.4f} ± {error:.4f}, reference {reference}")
    assert settled.mean() == pytest.approx(reference, abs=AGREEMENT * reference + 3 * error)
