"""One trajectory in shares, by one process: the ring, the four-step transform, the field."""

from pathlib import Path

import numpy as np
import pytest

import sims
from hpcbench.cli import main
from hpcbench.data.check import verify
from hpcbench.data.dataset import open_dataset
from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks
from sims.generation.spec import read_spec
from sims.space.field import Field
from sims.space.four_step import FourStep, factors, most_ranks
from sims.space.ring import Ring
from sims.systems.flows.kuramoto_sivashinsky import (
    KuramotoSivashinsky,
    KuramotoSivashinskyParameters,
)
from sims.systems.flows.lorenz96 import Lorenz96, Lorenz96Parameters

SPECS = Path(sims.__file__).parent / "specs"


@pytest.mark.parametrize("num_sites", [4, 7, 40, 1001])
@pytest.mark.parametrize("steps_per_exchange", [1, 5, 16])
def test_a_ring_of_any_size_on_one_rank(num_sites: int, steps_per_exchange: int) -> None:
    system = Lorenz96(Lorenz96Parameters(num_sites=num_sites, forcing=8.0))
    states = system.initial_states(1, range(1))
    ring = Ring(system, 0.01, Ranks(), steps_per_exchange)
    ring.load(states[0])
    ring.advance(33)
    system.advance(states, 0.01, 33, 33)
    np.testing.assert_allclose(ring.values(), states[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_points", [16, 24, 64, 90, 1000, 4096])
def test_the_four_step_transform_is_the_transform(num_points: int) -> None:
    fourier = FourStep(num_points, Ranks())
    u = np.random.default_rng(0).normal(size=num_points)
    field = np.ascontiguousarray(u.reshape(fourier.first, fourier.second).T)
    fourier.over_columns(lambda block, _: field[block])
    fourier.to_rows()
    found = np.empty(fourier.modes.shape, complex)

    def keep(block: slice, spectrum: np.ndarray) -> np.ndarray:
        found[block] = spectrum
        return spectrum

    fourier.over_rows(keep)
    np.testing.assert_allclose(found, np.fft.fft(u)[fourier.modes], atol=1e-12 * num_points)
    back = np.empty_like(field)
    fourier.to_columns()

    def take(block: slice, values: np.ndarray) -> None:
        back[block] = values

    fourier.over_columns(take)
    np.testing.assert_allclose(back, field, atol=1e-13 * num_points)


def test_factors_are_even_and_close() -> None:
    assert factors(1 << 20) == (1024, 1024)
    assert factors(90) == (10, 9)
    assert factors(14) == (2, 7)
    assert factors(15) is None
    assert most_ranks(15) == 0


def test_a_field_stays_real_and_keeps_its_mean_for_long() -> None:
    # of 16 × 16 modes, k₁ = 8 is kept together with its conjugate, and 8 is an unstable wave
    parameters = KuramotoSivashinskyParameters(num_points=256, domain_length=88.0)
    system = KuramotoSivashinsky(parameters)
    field = Field(system, 0.25, Ranks())
    field.load(field.arrange(system.initial_states(1, range(1))[0]))
    field.advance(4000)
    values = field.restore(field.values())
    assert np.sqrt(np.mean(values**2)) == pytest.approx(1.3, abs=0.3)
    assert np.mean(values) == pytest.approx(0, abs=1e-12)


def test_a_dataset_of_large_trajectories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--parameters.num_sites=500", "--sampling.num_trajectories=2",
               "--sampling.num_samples=30", "--sampling.split=[0.5,0,0.5]"]  # fmt: skip
    arguments = ["simulate", str(SPECS / "lorenz96_smoke.toml"), *options, "--out"]
    assert main([*arguments, "space.h5", "--integration.decomposition=space"]) == 0
    assert main([*arguments, "members.h5"]) == 0
    with open_dataset("space.h5") as space, open_dataset("members.h5") as members:
        assert verify(space) == []
        assert space.generator["kernel"].endswith(" in space")
        # rounding differs, and grows by e^{1.68 t}
        np.testing.assert_allclose(space.trajectory(1)[:5], members.trajectory(1)[:5], atol=1e-2)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("lorenz63", [], "integration.decomposition: lorenz63 is too small to be spread over"),
        (
            "kuramoto_sivashinsky_l22",
            ["--integration.scheme=etd_pece"],
            "is integrated by etdrk4 only, not by etd_pece",
        ),
        ("lorenz96_f8", ["--integration.decomposition=spaces"], "'members' or 'space'"),
    ],
)
def test_what_cannot_be_spread_is_refused(name: str, options: list[str], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read_spec(SPECS / f"{name}.toml", ["--integration.decomposition=space", *options])
    assert expected in str(caught.value)
