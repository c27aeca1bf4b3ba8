"""What every system in the registry must hold to, whichever comes next."""

from typing import Any

import numpy as np
import pytest

from hpcbench.errors import InputError
from sims.generation.members import MEMBER_GROUP
from sims.systems.registry import SYSTEMS
from sims.systems.seeding import member_generator
from sims.systems.system import Kernel, System

LORENZ96 = {"num_sites": 11, "forcing": 8.0}
KURAMOTO_SIVASHINSKY = {"num_points": 34, "domain_length": 22.0}

LINEAR_MAP = {"size": 5, "spectral_radius": 0.9, "offset": 1.0, "matrix_seed": 3}
OSCILLATOR = {"damping": 0.2, "drive_amplitude": 1.0, "drive_frequency": 0.9}

CASES: list[tuple[str, dict[str, Any], float, str, Kernel]] = [
    # system, parameters, step, scheme, kernel; sizes that fit no vector register, where possible
    ("lorenz96", LORENZ96, 0.01, "rk4", "compiled"),
    ("lorenz96", LORENZ96, 0.01, "rk4", "reference"),
    *(
        ("kuramoto_sivashinsky", {**KURAMOTO_SIVASHINSKY, "num_points": points}, step, scheme, kind)
        for points, kind in ((32, "compiled"), (34, "reference"))
        for scheme, step in (("etdrk4", 0.25), ("etdab4", 0.05), ("etd_pece", 0.125))
    ),
    ("lorenz63", {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}, 0.01, "rk4", "auto"),
    ("logistic_map", {"rate": 3.9}, 1.0, "iteration", "auto"),
    ("linear_map", LINEAR_MAP, 1.0, "iteration", "auto"),
    ("henon_map", {"a": 1.4, "b": 0.3}, 1.0, "iteration", "auto"),
    ("narendra_plant", {"amplitude": 1.7}, 1.0, "iteration", "auto"),
    ("driven_oscillator", OSCILLATOR, 0.05, "rk4", "auto"),
    ("driven_oscillator", OSCILLATOR, 0.05, "euler", "auto"),
    ("sine", {"angular_frequency": 0.7}, 0.1, "exact", "auto"),
    ("noisy_sine", {"angular_frequency": 0.7, "noise": 0.1}, 0.1, "exact", "auto"),
]


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *case[3:]]))
def case(request: pytest.FixtureRequest) -> tuple[System, float]:
    name, parameters, step, scheme, kernel = request.param
    cls = SYSTEMS[name]
    return cls(cls.Parameters(**parameters), scheme, kernel), step


def test_every_system_and_scheme_is_tested() -> None:
    tested = {(case[0], case[3]) for case in CASES}
    assert tested == {(name, s) for name, system in SYSTEMS.items() for s in system.schemes}


def test_name_and_docstring_with_the_equation_first(case: tuple[System, float]) -> None:
    system, _ = case
    assert SYSTEMS[system.name] is type(system)
    assert "=" in (type(system).__doc__ or "").splitlines()[0]


def test_a_member_does_not_depend_on_its_batch(case: tuple[System, float]) -> None:
    system, step = case
    num_members = 4 * MEMBER_GROUP + 1
    together = system.initial_states(9, range(num_members))
    saved = np.empty((num_members, 10, system.num_components), np.float32)
    system.advance(together, step, 50, 5, saved)
    for first in range(0, num_members, MEMBER_GROUP):
        group = range(first, min(first + MEMBER_GROUP, num_members))
        alone = system.initial_states(9, group)
        own = np.empty((len(group), 10, system.num_components), np.float32)
        system.advance(alone, step, 50, 5, own)
        np.testing.assert_array_equal(alone, together[first : group.stop])
        np.testing.assert_array_equal(own, saved[first : group.stop])


def test_samples_are_the_states_on_the_way(case: tuple[System, float]) -> None:
    system, step = case
    states = system.initial_states(10, range(2))
    again, begin = states.copy(), states.copy()
    out = np.full((2, 6, system.num_components), np.nan)
    system.advance(states, step, 15, 3, out[:, 1:])  # a strided view
    np.testing.assert_array_equal(out[:, -1], states)
    system.advance(again, step, 3, 3)
    np.testing.assert_array_equal(out[:, 1], again)
    assert np.isnan(out[:, 0]).all()
    assert not np.array_equal(begin, states)


def test_tangent_vectors_follow_small_deviations(case: tuple[System, float]) -> None:
    system, step = case
    states = system.initial_states(12, range(2))
    System.advance(system, states, step, 40, 40)
    working = system.to_working(states)
    random = np.random.default_rng(13)
    vectors = np.stack([system.initial_tangents(random, 2) for _ in range(2)])
    joint = np.concatenate([working[:, None], vectors], axis=1)
    take_linearised_step, size = system.linearised_stepper(step), 1e-5
    for _ in range(6):
        joint = take_linearised_step(joint)
    for vector in range(2):
        ends = []
        for sign in (1, -1):
            take_step, deviated = system.stepper(step), working + sign * size * vectors[:, vector]
            for _ in range(6):
                deviated = take_step(deviated)
            ends.append(deviated)
        np.testing.assert_allclose(
            (ends[0] - ends[1]) / (2 * size), joint[:, 1 + vector], rtol=1e-5, atol=1e-6
        )
    assert joint.shape[1:] == (3, working.shape[-1])


def test_members_and_seeds_start_differently(case: tuple[System, float]) -> None:
    system, _ = case
    states = [system.initial_states(seed, range(3)) for seed in (0, 1, 2**64 - 1)]
    rows = np.concatenate(states)
    assert len(np.unique(rows, axis=0)) == 9
    np.testing.assert_array_equal(system.initial_states(1, range(2, 3))[0], states[1][2])


def test_random_numbers_of_a_member_are_fixed() -> None:
    # the raw counter-based stream is the same in every version of NumPy
    raw = member_generator(1, 2).bit_generator.random_raw(2)
    np.testing.assert_array_equal(
        raw, np.random.Philox(key=(2 << 64) + 1).random_raw(2), strict=True
    )


@pytest.mark.parametrize("scheme", ["etdrk4", "etdab4", "etd_pece"])
def test_compiled_and_reference_steps_agree(scheme: str) -> None:
    cls = SYSTEMS["kuramoto_sivashinsky"]
    parameters = cls.Parameters(num_points=64, domain_length=22.0)
    compiled, reference = (cls(parameters, scheme, k) for k in ("compiled", "reference"))
    assert compiled.kernel_name.startswith("compiled ")
    assert reference.kernel_name == "reference"
    states = compiled.initial_states(11, range(5))
    again = states.copy()
    compiled.advance(states, 0.05, 40, 40)
    reference.advance(again, 0.05, 40, 40)
    np.testing.assert_allclose(states, again, rtol=0, atol=1e-12)


def test_automatic_choice_of_the_kernel() -> None:
    cls = SYSTEMS["kuramoto_sivashinsky"]
    for num_points, compiled in ((64, True), (96, False)):
        assert cls(cls.Parameters(num_points=num_points, domain_length=36.0)).compiled == compiled
    with pytest.raises(InputError, match=r"96 points; the compiled kernel needs a power of two"):
        cls(cls.Parameters(num_points=96, domain_length=36.0), kernel="compiled")
