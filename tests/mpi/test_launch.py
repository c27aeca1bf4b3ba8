"""The launcher, mpi4py and Horovod agree on who is in the job."""

from pathlib import Path

import pytest
import torch
from mpi4py import MPI

pytestmark = pytest.mark.mpi


def test_the_job_has_several_ranks() -> None:
    assert MPI.COMM_WORLD.Get_size() > 1


def test_horovod_and_mpi4py_share_one_mpi() -> None:
    import horovod.torch as hvd

    hvd.init()
    world = MPI.COMM_WORLD
    assert (hvd.rank(), hvd.size()) == (world.Get_rank(), world.Get_size())
    total = hvd.allreduce(torch.tensor([float(hvd.rank())]), op=hvd.Sum)
    assert total.item() == sum(range(world.Get_size()))
    assert MPI.Query_thread() == MPI.THREAD_MULTIPLE


def test_shared_folder_is_the_same_on_every_rank(shared_tmp_path: Path) -> None:
    assert len(set(MPI.COMM_WORLD.allgather(str(shared_tmp_path)))) == 1
