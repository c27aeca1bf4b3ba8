"""Maps: limits, periods, fixed points and their stability, and how deviations grow."""

from pathlib import Path

import numpy as np
import pytest

import sims
from hpcbench.errors import InputError
from sims.generation.spec import read_spec
from sims.systems.maps.fixed_points import FixedPoint, fixed_point
from sims.systems.maps.henon_map import HenonMap, HenonMapParameters
from sims.systems.maps.linear_map import LinearMap, LinearMapParameters
from sims.systems.maps.logistic_map import LogisticMap, LogisticMapParameters
from sims.systems.maps.map import Map

SPECS = Path(sims.__file__).parent / "specs"


def logistic(rate: float) -> LogisticMap:
    return LogisticMap(LogisticMapParameters(rate=rate))


def henon() -> HenonMap:
    return HenonMap(HenonMapParameters(a=1.4, b=0.3))


def linear(spectral_radius: float, seed: int = 1) -> LinearMap:
    return LinearMap(
        LinearMapParameters(size=6, spectral_radius=spectral_radius, offset=0.7, matrix_seed=seed)
    )


def at_rest(system: LinearMap) -> np.ndarray:
    """x* = (I − A)⁻¹ b."""
    return np.linalg.solve(np.eye(6) - system.matrix, np.full(6, 0.7))


def limit_set(rate: float) -> np.ndarray:
    """What an orbit that starts from 0.1 visits in the end, in ascending order."""
    states, out = np.array([[0.1]]), np.empty((1, 1024, 1))
    logistic(rate).advance(states, 1.0, 20_000, 20_000)
    logistic(rate).advance(states, 1.0, 1024, 1, out)
    return np.unique(np.round(out, 7))


@pytest.mark.parametrize(
    ("rate", "limit"),
    [
        (0.7, [0]),
        (2.5, [0.6]),  # 1 − 1/r; not 0.5, as one lecture has it
        (3.4, [0.451963, 0.842154]),
        (3.5, [0.382820, 0.500884, 0.826941, 0.874997]),
        (3.55, [0.354800, 0.370326, 0.506031, 0.540475, 0.812656, 0.827805, 0.881684, 0.887371]),
    ],
)
def test_limits_and_periods_of_the_logistic_map(rate: float, limit: list[float]) -> None:
    np.testing.assert_allclose(limit_set(rate), limit, atol=1e-6)


def test_chaos_of_the_logistic_map_fills_its_interval_without_a_period() -> None:
    found = limit_set(3.9)
    assert len(found) > 1000
    low, high = 3.9**2 * (4 - 3.9) / 16, 3.9 / 4
    assert low <= found[0] < low + 0.01
    assert high - 0.01 < found[-1] <= high


@pytest.mark.parametrize("rate", [0.7, 2.5, 3.4, 3.5, 3.55, 3.9])
def test_there_is_a_specification_for_every_regime(rate: float) -> None:
    spec = read_spec(SPECS / f"logistic_map_r{str(rate).replace('.', '_')}.toml")
    assert spec.parameters.rate == rate


@pytest.mark.parametrize(
    ("system", "guess", "expected", "stable"),
    [
        (logistic(0.7), [0.1], [0.0], True),
        (logistic(2.5), [0.5], [0.6], True),
        (logistic(2.5), [-0.1], [0.0], False),
        (logistic(3.4), [0.7], [1 - 1 / 3.4], False),
        (henon(), [0.6, 0.2], [(-0.7 + np.sqrt(0.49 + 5.6)) / 2.8] * 2, False),
        (henon(), [-1.0, -0.3], [(-0.7 - np.sqrt(0.49 + 5.6)) / 2.8] * 2, False),
        (linear(0.9), [0.0] * 6, at_rest(linear(0.9)), True),
        (linear(1.1), [0.0] * 6, at_rest(linear(1.1)), False),
    ],
    ids=str,
)
def test_fixed_points_and_their_stability(
    system: Map, guess: list[float], expected: list[float], stable: bool
) -> None:
    found = fixed_point(system, np.array(guess))
    if isinstance(system, HenonMap):
        expected = [expected[0], 0.3 * expected[1]]
    np.testing.assert_allclose(found.x, expected, atol=1e-12)
    np.testing.assert_allclose(system.image(found.x), found.x, atol=1e-12)
    assert found.is_stable == stable


def test_eigenvalues_at_fixed_points() -> None:
    assert fixed_point(logistic(2.5), np.array([0.5])).eigenvalues == pytest.approx([-0.5])
    assert fixed_point(linear(0.9), np.zeros(6)).spectral_radius == pytest.approx(0.9)
    # Dx² + 2 a x D − b = 0
    found = fixed_point(henon(), np.array([0.6, 0.2]))
    np.testing.assert_allclose(
        found.eigenvalues**2 + 2.8 * found.x[0] * found.eigenvalues, 0.3, atol=1e-12
    )


def test_no_fixed_point_is_said() -> None:
    without = HenonMap(HenonMapParameters(a=-1.0, b=0.3))
    with pytest.raises(InputError, match="henon_map: no fixed point found from"):
        fixed_point(without, np.array([0.5, 0.1]))
    assert not FixedPoint(np.zeros(1), np.array([1.0])).is_stable


@pytest.mark.parametrize("spectral_radius", [0.9, 1.1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_deviations_of_a_linear_map_go_with_its_spectral_radius(
    spectral_radius: float, seed: int
) -> None:
    system, num_steps = linear(spectral_radius, seed), 4000
    states = at_rest(system) + 1e-9 * system.initial_states(0, range(1))
    distances = np.empty((1, num_steps, 6))
    deviations = states - at_rest(system)
    logarithm = 0.0
    # renormalised, because 0.9⁴⁰⁰⁰ is below all numbers
    for n in range(num_steps):
        deviations = system.tangent(states, deviations)
        size = np.linalg.norm(deviations)
        logarithm += float(np.log(size)) if n >= 1000 else 0.0
        deviations = deviations / size
        distances[0, n] = deviations
    assert logarithm / (num_steps - 1000) == pytest.approx(np.log(spectral_radius), abs=1e-3)


def test_a_stable_linear_map_ends_at_its_fixed_point() -> None:
    system = linear(0.9)
    states = system.initial_states(4, range(3))
    system.advance(states, 1.0, 600, 600)
    np.testing.assert_allclose(states, np.tile(at_rest(system), (3, 1)), atol=1e-12)


@pytest.mark.parametrize(("system", "exponent"), [(logistic(3.9), 0.495), (henon(), 0.419)])
def test_small_errors_grow_at_the_lyapunov_exponent(system: Map, exponent: float) -> None:
    # prediction may be impossible: the mean logarithm of an error of 1e-10 grows linearly
    states = system.initial_states(5, range(2000))
    system.advance(states, 1.0, 500, 500)
    close = states + 1e-10
    first, second = np.empty((2, 2000, 30, system.num_components))
    system.advance(states, 1.0, 30, 1, first)
    system.advance(close, 1.0, 30, 1, second)
    errors = np.linalg.norm(first - second, axis=-1)
    slope = np.polyfit(np.arange(10, 30), np.mean(np.log(errors[:, 10:]), axis=0), 1)[0]
    assert slope == pytest.approx(exponent, abs=0.03)


def test_a_map_takes_whole_iterations() -> None:
    with pytest.raises(InputError, match=r"integration.step: a step of henon_map is one iteration"):
        read_spec(SPECS / "henon_map.toml", ["--integration.step=0.5"])
