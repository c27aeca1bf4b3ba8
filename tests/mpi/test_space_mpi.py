"""One trajectory over several ranks: the same states as on one, and as without ranks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import sims
import sims.space.exchange
from hpcbench.data.check import check, verify
from hpcbench.data.dataset import open_dataset
from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks
from sims.generation.ensemble import generate
from sims.generation.spec import DatasetSpec, read_spec
from sims.space.exchange import CommonMemory, Messages, OneRank, Tiling
from sims.space.team import Team
from sims.space.tiled_field import most_ranks
from sims.systems.flows.kuramoto_sivashinsky import (
    KuramotoSivashinsky,
    KuramotoSivashinskyParameters,
)
from sims.systems.flows.lorenz96 import Lorenz96, Lorenz96Parameters
from sims.systems.system import Kernel, System

pytestmark = pytest.mark.mpi

SPECS = Path(sims.__file__).parent / "specs"
WORLD = Ranks(MPI.COMM_WORLD)


def lorenz96(num_sites: int, kernel: Kernel = "auto") -> Lorenz96:
    return Lorenz96(Lorenz96Parameters(num_sites=num_sites, forcing=8.0), kernel=kernel)


def kuramoto_sivashinsky(num_points: int, kernel: Kernel = "reference") -> KuramotoSivashinsky:
    length = 22.0 * num_points / 64
    parameters = KuramotoSivashinskyParameters(num_points=num_points, domain_length=length)
    return KuramotoSivashinsky(parameters, kernel=kernel)


def ahead(system: System, step: float, num_steps: int, ranks: Ranks) -> np.ndarray:
    """Two states some steps later and on the way, by all given ranks."""
    states = system.initial_states(1, range(2))
    out = np.empty((2, 3, system.num_components))
    team = Team(system, step, ranks)
    team.lead(lambda: team.advance(states, step, 3 * num_steps, num_steps, out))
    np.testing.assert_array_equal(out[:, -1] if ranks.is_first else 0, states * ranks.is_first)
    return MPI.COMM_WORLD.bcast(out) if ranks.size > 1 else out


@pytest.mark.parametrize("num_sites", [24, 37, 1000, 1001])
@pytest.mark.parametrize("kernel", ["compiled", "reference"])
def test_a_ring_on_any_number_of_ranks(num_sites: int, kernel: Kernel) -> None:
    system = lorenz96(num_sites, kernel)
    many = ahead(system, 0.01, 21, WORLD)
    np.testing.assert_array_equal(many, ahead(system, 0.01, 21, Ranks()))
    whole, out = system.initial_states(1, range(2)), np.empty_like(many)
    lorenz96(num_sites, "reference").advance(whole, 0.01, 63, 21, out)
    np.testing.assert_allclose(many, out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_points", [144, 256, 1000, 1536, 16384])
def test_a_field_on_any_number_of_ranks(num_points: int) -> None:
    system = kuramoto_sivashinsky(num_points)
    many = ahead(system, 0.25, 4, WORLD)
    np.testing.assert_array_equal(many, ahead(system, 0.25, 4, Ranks()))
    whole, out = system.initial_states(1, range(2)), np.empty_like(many)
    system.advance(whole, 0.25, 12, 4, out)
    np.testing.assert_allclose(many, out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_points", [2048, 4096, 16384])
@pytest.mark.parametrize("folder", [sims.space.exchange.SHARED_FOLDER, Path("nowhere")])
def test_a_tiled_field_on_any_number_of_ranks(
    num_points: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sims.space.exchange, "SHARED_FOLDER", folder)
    system = kuramoto_sivashinsky(num_points, "compiled")
    many = ahead(system, 0.25, 4, WORLD)
    np.testing.assert_array_equal(many, ahead(system, 0.25, 4, Ranks()))
    whole, out = system.initial_states(1, range(2)), np.empty_like(many)
    kuramoto_sivashinsky(num_points).advance(whole, 0.25, 12, 4, out)
    np.testing.assert_allclose(many, out, rtol=0, atol=1e-12)


def test_memory_is_shared_where_all_ranks_have_it(
    shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiling = Tiling(9, 16, WORLD)
    monkeypatch.setattr(sims.space.exchange, "SHARED_FOLDER", shared_tmp_path)
    assert isinstance(sims.space.exchange.exchange(tiling), CommonMemory)
    MPI.COMM_WORLD.barrier()  # the first rank has removed the name
    assert list(shared_tmp_path.iterdir()) == []
    MPI.COMM_WORLD.barrier()  # all have looked, before the first makes another
    # one rank without it is enough for messages between all
    if WORLD.rank == WORLD.size - 1:
        monkeypatch.setattr(sims.space.exchange, "_open", lambda name, own: None)
    assert isinstance(sims.space.exchange.exchange(tiling), Messages)
    assert isinstance(sims.space.exchange.exchange(Tiling(9, 16, Ranks())), OneRank)


def test_too_many_ranks_are_told_what_would_do() -> None:
    with pytest.raises(InputError, match=rf"give at least {8 * WORLD.size} sites") as caught:
        Team(lorenz96(8 * WORLD.size - 1), 0.01, WORLD)
    assert f"start at most {WORLD.size - 1} ranks" in str(caught.value)
    with pytest.raises(InputError, match=r"parameters.num_points: 14 is .* sizes that work: "):
        Team(kuramoto_sivashinsky(14), 0.25, WORLD)
    if WORLD.size > most_ranks(512):
        with pytest.raises(InputError, match=r"give 1024 points, start at most 2 ranks"):
            Team(kuramoto_sivashinsky(512, "compiled"), 0.25, WORLD)


def test_errors_of_the_first_rank_reach_all() -> None:
    team = Team(lorenz96(100), 0.01, WORLD)

    def fail() -> None:
        team.advance(np.ones((1, 100)), 0.01, 5, 5)
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        team.lead(fail)


def small(name: str, options: list[str]) -> DatasetSpec[Any]:
    return read_spec(
        SPECS / f"{name}.toml",
        [
            *options,
            "--sampling.num_trajectories=3",
            "--sampling.num_samples=40",
            "--sampling.split=[0.4,0.3,0.3]",
            "--integration.spin_up=1.0",
            "--integration.decomposition=space",
        ],
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lorenz96_smoke", ["--parameters.num_sites=101"]),
        ("kuramoto_sivashinsky_l200", ["--parameters.num_points=600"]),
        ("kuramoto_sivashinsky_l200", ["--parameters.num_points=2048"]),
    ],
)
def test_datasets_do_not_depend_on_the_ranks(
    shared_tmp_path: Path, name: str, options: list[str]
) -> None:
    spec = small(name, options)
    path, alone = shared_tmp_path / "space.h5", shared_tmp_path / "alone.h5"
    generate(spec, path, None, False, WORLD)
    if WORLD.is_first:
        generate(spec, alone, None, False, Ranks())
    MPI.COMM_WORLD.barrier()
    with open_dataset(path) as many, open_dataset(alone) as one:
        assert many.state_sha256() == one.state_sha256()
        compiled = spec.parameters.num_points != 600 if "kuramoto" in name else True
        assert many.generator["kernel"].startswith("compiled" if compiled else "reference")
        assert many.generator["kernel"].endswith(" in space")
        assert verify(many) == []
    assert check(path) == []
    assert generate(spec, path, None, False, WORLD).already_there
    with pytest.raises(InputError, match=r'--layout: given "parts"; with integration'):
        generate(spec, path, "parts", False, WORLD)
