"""Generation on several ranks: the same bytes, agreed errors, one message."""

import errno
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from mpi4py import MPI

import sims
from hpcbench.cli import main
from hpcbench.data.check import check, verify
from hpcbench.data.dataset import open_dataset
from hpcbench.data.format import Layout
from hpcbench.data.store import CollectiveStore, Store
from hpcbench.errors import InputError, PartlyDone
from hpcbench.parallel.ranks import Ranks
from sims.generation.ensemble import generate
from sims.generation.members import share_members
from sims.generation.spec import DatasetSpec, read_spec

pytestmark = pytest.mark.mpi

SPECS = Path(sims.__file__).parent / "specs"
WORLD = Ranks(MPI.COMM_WORLD)
SHARED: list[Layout] = ["parts", "collective"] if h5py.get_config().mpi else ["parts"]


def small(name: str) -> DatasetSpec[Any]:
    options = [
        "--sampling.num_trajectories=7",
        "--sampling.num_samples=300",
        "--integration.spin_up=5.0",
    ]
    return read_spec(SPECS / f"{name}.toml", options)


def generate_alone(spec: DatasetSpec[Any], path: Path) -> None:
    if WORLD.is_first:
        generate(spec, path, "file", False, Ranks())
    MPI.COMM_WORLD.barrier()


@pytest.mark.parametrize("layout", SHARED)
@pytest.mark.parametrize("name", ["lorenz96_smoke", "kuramoto_sivashinsky_l22_smoke"])
def test_ranks_and_layout_do_not_change_the_data(
    shared_tmp_path: Path, name: str, layout: Layout
) -> None:
    spec = small(name)
    path, alone = shared_tmp_path / "ranks.h5", shared_tmp_path / "alone.h5"
    generated = generate(spec, path, layout, False, WORLD)
    generate_alone(spec, alone)
    assert generated.num_steps == 7 * (spec.spin_up_steps + 299)
    with open_dataset(path) as many, open_dataset(alone) as one:
        assert many.state_sha256() == one.state_sha256()
        assert many.content_hash == one.content_hash
        np.testing.assert_array_equal(many.mean, one.mean)
        np.testing.assert_array_equal(many.std, one.std)
        assert many.generator["ranks"] == WORLD.size
        assert verify(many) == []
    assert check(path) == []
    assert generate(spec, path, None, False, WORLD).already_there


@pytest.mark.parametrize("layout", SHARED)
def test_a_failure_of_one_rank_is_agreed_and_continued(
    shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    spec = small("lorenz96_smoke")
    path, alone = shared_tmp_path / "ranks.h5", shared_tmp_path / "alone.h5"
    store = CollectiveStore if layout == "collective" else Store
    write = store._put

    def failing(self: Any, name: str, place: tuple[int, ...], values: np.ndarray) -> None:
        if name == "checksum" and place[0] == 4 and WORLD.rank == WORLD.size - 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, name, place, values)

    with monkeypatch.context() as context:
        context.setattr(store, "_put", failing)
        with pytest.raises(PartlyDone, match="No space left on device"):
            generate(spec, path, layout, False, WORLD)
    with pytest.raises(InputError, match="add --resume"):
        generate(spec, path, None, False, WORLD)
    # on fewer ranks, and in the end on all
    if WORLD.is_first:
        with monkeypatch.context() as context:
            context.setattr(Store, "mark", lambda *_: (_ for _ in ()).throw(PartlyDone("again")))
            with pytest.raises(PartlyDone, match="again"):
                generate(spec, path, None, True, Ranks())
    MPI.COMM_WORLD.barrier()
    generate(spec, path, None, True, WORLD)
    generate_alone(spec, alone)
    with open_dataset(path) as many, open_dataset(alone) as one:
        assert many.state_sha256() == one.state_sha256()
        np.testing.assert_array_equal(many.mean, one.mean)
        assert verify(many) == []


def test_more_ranks_than_members(shared_tmp_path: Path) -> None:
    few = f"--sampling.num_trajectories={2 * WORLD.size - 2}"
    spec = read_spec(SPECS / "lorenz96_smoke.toml", [few, "--sampling.split=[1,0,0]"])
    path = shared_tmp_path / "few.h5"
    with pytest.raises(InputError, match=f"too few for {WORLD.size} ranks") as caught:
        generate(spec, path, "parts", False, WORLD)
    assert f"start at most {WORLD.size - 1} ranks" in str(caught.value)
    assert not path.exists()


def test_one_message_for_all_ranks(
    shared_tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec, path = SPECS / "lorenz96_smoke.toml", shared_tmp_path / "x.h5"
    for options, expected in (
        (["--layout", "file"], '--layout: "file" is written by one rank'),
        (["--parameters.forcin=8"], "parameters.forcin: unknown key"),
        (["--out", "/sys/x.h5"], "/sys/x.h5: cannot be written"),
    ):
        assert main(["simulate", str(spec), "--out", str(path), *options]) == 2
        error = capfd.readouterr().err
        assert error.count("hpcbench: ") == (1 if WORLD.is_first else 0)
        assert (expected in error) == WORLD.is_first
    assert MPI.COMM_WORLD.bcast(sorted(path.parent.iterdir())) == []


def test_every_member_has_one_rank() -> None:
    for num_members in (1, 2, 7, 64, 65):
        shares = [share_members(num_members, rank, WORLD.size) for rank in range(WORLD.size)]
        assert [member for share in shares for member in share] == list(range(num_members))
        assert all(share.start % 2 == 0 for share in shares if share)
