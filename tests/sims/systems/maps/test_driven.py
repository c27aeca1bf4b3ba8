"""Systems with inputs and outputs, and random inputs that are part of a state."""

import numpy as np
import pytest

from sims.systems.maps.driven import response
from sims.systems.maps.narendra_plant import NarendraPlant, NarendraPlantParameters
from sims.systems.noise import next_number, random_number
from sims.systems.seeding import member_generator

PLANT = NarendraPlant(NarendraPlantParameters(amplitude=2.0))


class ElmanCell:
    """h_{t+1} = tanh(U u_t + W h_t + b),  y_t = V h_t: a recurrent cell as a driven system."""

    def __init__(self, num_inputs: int, num_hidden: int) -> None:
        random = np.random.default_rng(0)
        self.u = random.normal(size=(num_hidden, num_inputs))
        self.w = random.normal(size=(num_hidden, num_hidden)) / num_hidden
        self.v = random.normal(size=(1, num_hidden))
        self.b = random.normal(size=num_hidden)

    def next_state(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        return np.tanh(u @ self.u.T + x @ self.w.T + self.b)

    def output(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        return x @ self.v.T


def test_the_plant_is_its_equation() -> None:
    inputs = np.array([0.5, -1.0, 2.0])
    outputs, end = response(PLANT, np.array(0.3), inputs)
    x = [0.3]
    for u in inputs:
        x.append(x[-1] / (1 + x[-1] ** 2) + u**3)
    np.testing.assert_allclose(outputs, x[:3], rtol=1e-15)
    assert end == pytest.approx(x[3], rel=1e-15)


def test_a_recurrent_cell_is_a_driven_system() -> None:
    cell, inputs = ElmanCell(2, 5), np.random.default_rng(1).normal(size=(7, 3, 2))
    outputs, end = response(cell, np.zeros((3, 5)), inputs)
    assert outputs.shape == (7, 3, 1)
    hidden = np.zeros((3, 5))
    for t in range(7):
        np.testing.assert_array_equal(outputs[t], hidden @ cell.v.T)
        hidden = np.tanh(inputs[t] @ cell.u.T + hidden @ cell.w.T + cell.b)
    np.testing.assert_array_equal(end, hidden)


def test_samples_are_the_response_to_their_own_inputs() -> None:
    states = PLANT.initial_states(1, range(3))
    first = states[:, 0].copy()
    out = np.empty((3, 201, 2))
    out[:, 0] = states
    PLANT.advance(states, 1.0, 200, 1, out[:, 1:])
    outputs, _ = response(PLANT, first, out[..., 1].T)
    np.testing.assert_allclose(outputs.T, out[..., 0], rtol=1e-14)


def test_inputs_are_uniform_and_not_those_of_another_member() -> None:
    states, out = PLANT.initial_states(2, range(50)), np.empty((50, 1000, 2))
    PLANT.advance(states, 1.0, 1000, 1, out)
    inputs = out[..., 1] / 2
    assert np.abs(inputs).max() < 1
    assert np.mean(inputs) == pytest.approx(0, abs=0.01)
    assert np.var(inputs) == pytest.approx(1 / 3, rel=0.01)
    correlations = np.corrcoef(inputs[:, :-1].ravel(), inputs[:, 1:].ravel())[0, 1]
    assert abs(correlations) < 0.02
    assert np.abs(np.corrcoef(inputs) - np.eye(50)).max() < 0.2


@pytest.mark.parametrize("amplitude", [1e-3, 0.3, 2.0, 7.7])
def test_the_random_sequence_survives_being_kept_as_inputs(amplitude: float) -> None:
    plant = NarendraPlant(NarendraPlantParameters(amplitude=amplitude))
    w = np.array([[0.0, random_number(member_generator(3, m))] for m in range(2000)])
    np.testing.assert_array_equal(
        next_number(plant.to_working(plant.from_working(w))[:, 1]), next_number(w[:, 1])
    )


def test_the_random_sequence_is_that_of_drand48() -> None:
    # POSIX srand48(0) starts from 0x330E; the first numbers of drand48 are known
    w = np.array([0x330E / 2**48])
    for expected in (0.170828036106, 0.749901980484, 0.096371655624):
        w = next_number(w)
        assert w[0] == pytest.approx(expected, abs=1e-12)
