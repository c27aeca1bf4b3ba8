"""Training on the ranks of this MPI job against training alone: same bits, same curves."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from mpi4py import MPI

from hpcbench.config.tree import read_config
from hpcbench.data.dataset import open_dataset
from hpcbench.errors import InputError
from hpcbench.forecasting.evaluation import ForecastConfig, evaluate
from hpcbench.forecasting.large_ring import evaluate_ring
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, training_scaling
from hpcbench.parallel.alone import Alone
from hpcbench.parallel.communicator import BACKENDS, Communicator, communicator
from hpcbench.training.run_config import RunConfig
from hpcbench.training.train import train

pytestmark = pytest.mark.mpi

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

Run = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=sorted(set(BACKENDS) - {"none"}))
def ranks(request: pytest.FixtureRequest) -> Iterator[Communicator]:
    """Every back-end on all ranks of this job."""
    with closing(communicator(request.param)) as started:
        yield started


@pytest.fixture
def run(shared_tmp_path: Path, train_spec: Callable[..., Path]) -> Run:
    """Return a function that trains and gives the curves that rank 0 wrote."""

    def trained(name: str, ranks: Communicator, *options: str, dtype: str = "float32") -> dict:
        config = read_config(RunConfig, train_spec(ranks.name, dtype), list(options))
        alone = ranks.size < MPI.COMM_WORLD.Get_size()
        out = shared_tmp_path / (f"{name}-{MPI.COMM_WORLD.Get_rank()}" if alone else name)
        train(config, out, ranks=ranks)
        MPI.COMM_WORLD.Barrier()
        curves = {}
        with h5py.File(out / "metrics.h5") as file:
            curves = {key: file[key][()] for key in ("loss", "validation_loss")}
        with h5py.File(out / "forecast.h5") as file:
            curves["nrmse"] = file["nrmse"][()]
        return curves

    return trained


@pytest.mark.parametrize("dtype", sorted(TOLERANCE))
def test_the_loss_curve_does_not_depend_on_the_number_of_ranks(
    run: Run, ranks: Communicator, dtype: str
) -> None:
    options = ("--train.options.noise", "0.01")
    whole = run("alone", Alone(MPI.COMM_SELF), *options, dtype=dtype)
    shared = run("shared", ranks, *options, dtype=dtype)
    for name in ("loss", "validation_loss"):
        np.testing.assert_allclose(shared[name], whole[name], rtol=TOLERANCE[dtype])
    assert shared["loss"].shape == (50,)
    assert shared["nrmse"].shape == whole["nrmse"].shape


def test_backends_compute_the_same(run: Run, ranks: Communicator) -> None:
    with closing(communicator("mpi")) as flat:
        reference = run("flat", flat)["loss"]
    tolerance = 0.0 if ranks.size == 2 else 1e-6
    np.testing.assert_allclose(run("other", ranks)["loss"], reference, rtol=tolerance, atol=0)


def test_without_synchronisation_ranks_go_apart(run: Run, ranks: Communicator) -> None:
    apart = run("apart", Alone(MPI.COMM_WORLD))["loss"]
    assert not np.allclose(apart[5:], run("shared", ranks)["loss"][5:], rtol=1e-6)


def test_averages_and_agreement(ranks: Communicator) -> None:
    rank, size = ranks.rank, ranks.size
    tensors = [torch.full((3,), float(rank)), torch.full((2, 2), 10.0 * rank).double()]
    ranks.average(tensors)
    mean = (size - 1) / 2
    assert torch.allclose(tensors[0], torch.full((3,), mean))
    assert torch.allclose(tensors[1], torch.full((2, 2), 10 * mean).double())
    assert ranks.largest(rank) == size - 1
    assert ranks.gather(rank) == list(range(size))
    np.testing.assert_array_equal(ranks.sum(np.array([1.0, rank])), [size, size * mean])
    shares = ranks.gather(ranks.share(7))
    assert [item for share in shares for item in share] == list(range(7))


def test_an_error_of_one_rank_is_raised_by_all(ranks: Communicator) -> None:
    def fail_on_the_last() -> None:
        if ranks.rank == ranks.size - 1:
            raise InputError("from the last rank")

    with pytest.raises(InputError, match="from the last rank"):
        ranks.together(fail_on_the_last)


@pytest.mark.parametrize("halo", [2, (3, 1), (0, 2)])
def test_a_ring_over_ranks_is_forecast_as_on_one(lorenz96_file: Path, halo: Any) -> None:
    torch.manual_seed(0)
    with open_dataset(lorenz96_file) as dataset:
        model = Forecaster(ModelConfig(hidden=4, halo=halo), training_scaling(dataset))
        model.set_dtype(torch.float64)
        config = ForecastConfig(initial_conditions=4, warm_up=5, horizon=0.5, lyapunov_exponent=1.5)
        with closing(communicator("mpi")) as ranks:
            shared = evaluate_ring(model, dataset, config, ranks, 36)
        alone = evaluate(model, dataset, config, Alone(MPI.COMM_SELF))
    np.testing.assert_allclose(shared.error, alone.error, rtol=1e-10)
    np.testing.assert_allclose(shared.persistence_error, alone.persistence_error, rtol=1e-12)
    mine = alone.forecast[..., : shared.forecast.shape[-1]]
    if MPI.COMM_WORLD.Get_rank() == 0:
        np.testing.assert_allclose(shared.forecast[..., : mine.shape[-1]], mine, rtol=1e-10)
