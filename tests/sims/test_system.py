"""What every system in the registry must hold to, whichever comes next."""

import numpy as np
import pytest

from sims.placement import MEMBER_GROUP
from sims.registry import SYSTEMS
from sims.seeding import member_generator
from sims.system import System

PARAMETERS = {
    "lorenz96": ({"num_sites": 11, "forcing": 8.0}, 0.01),
    "kuramoto_sivashinsky": ({"num_points": 34, "domain_length": 22.0}, 0.25),
}
"""System → parameters and step; sizes are odd multiples so that no vector register fits them."""


@pytest.fixture(params=SYSTEMS)
def case(request: pytest.FixtureRequest) -> tuple[System, float]:
    parameters, step = PARAMETERS[request.param]
    cls = SYSTEMS[request.param]
    return cls(cls.Parameters(**parameters)), step


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
