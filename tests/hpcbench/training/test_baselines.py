"""What a job measures before its first step: shapes, bytes, limits, and no trace in the result."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
from mpi4py import MPI

from hpcbench.cli import main
from hpcbench.data.dataset import open_dataset
from hpcbench.data.windows import WindowPlan
from hpcbench.parallel.alone import Alone
from hpcbench.parallel.communicator import communicator
from hpcbench.training.baselines import MESSAGE_BYTES, NUM_BATCHES, NUM_REPEATS, measure_baselines

Spec = Callable[..., Path]


def plan_of(file: Path) -> WindowPlan:
    with open_dataset(file) as dataset:
        return WindowPlan(dataset.members("train"), dataset.num_samples, 4, 8, 6, seed=1)


def test_reading_and_writing_alone(lorenz96_file: Path, tmp_path: Path) -> None:
    with open_dataset(lorenz96_file) as dataset:
        found = measure_baselines(Alone(MPI.COMM_SELF), dataset, plan_of(lorenz96_file), 8,
                                  tmp_path, 10.0)  # fmt: skip
    # six rows of five samples of twelve float32
    assert found.read_bytes.tolist() == [6 * 5 * 12 * 4] * NUM_BATCHES
    assert found.read_seconds.shape == (2, NUM_BATCHES)
    assert (found.read_seconds > 0).all()
    assert found.allreduce_bytes.size == 0
    rates = {metric.name: metric.value for metric in found.metrics()}
    expected = found.read_bytes.sum() / found.read_seconds[0].sum()
    assert rates["read_bytes_per_second"] == pytest.approx(expected)
    assert rates["write_bytes_per_second"] == found.write_bytes[0] / found.write_seconds[0]
    assert list(tmp_path.iterdir()) == []


def test_no_time_measures_nothing(lorenz96_file: Path, tmp_path: Path) -> None:
    with open_dataset(lorenz96_file) as dataset:
        found = measure_baselines(Alone(MPI.COMM_SELF), dataset, plan_of(lorenz96_file), 8,
                                  tmp_path, 0.0)  # fmt: skip
    assert found.metrics() == []
    assert all(values.size == 0 for values in vars(found).values())


def test_a_folder_that_cannot_be_written_is_left_to_the_checkpoint(
    lorenz96_file: Path, tmp_path: Path
) -> None:
    with open_dataset(lorenz96_file) as dataset:
        found = measure_baselines(Alone(MPI.COMM_SELF), dataset, plan_of(lorenz96_file), 8,
                                  tmp_path / "nowhere", 10.0)  # fmt: skip
    assert found.write_seconds.size == 0
    assert {metric.name for metric in found.metrics()} == {
        "read_bytes_per_second", "read_again_bytes_per_second",
    }  # fmt: skip


def test_the_result_does_not_depend_on_them(tmp_path: Path, train_spec: Spec) -> None:
    losses = []
    for name, seconds in (("with", "0.5"), ("without", "0")):
        options = ["--out", str(tmp_path / name), "--train.baseline_seconds", seconds]
        assert main(["train", str(train_spec()), "--train.steps", "5", *options]) == 0
        with h5py.File(tmp_path / name / "metrics.h5") as file:
            assert ("read_bytes" in file) == (name == "with")
            losses.append(file["loss"][()])
    np.testing.assert_array_equal(*losses)


@pytest.mark.mpi
@pytest.mark.parametrize("backend", ["horovod", "ddp", "mpi"])
def test_allreduces_on_several_ranks(
    backend: str, lorenz96_file: Path, shared_tmp_path: Path
) -> None:
    with closing(communicator(backend)) as ranks, open_dataset(lorenz96_file) as dataset:
        found = measure_baselines(ranks, dataset, plan_of(lorenz96_file), 4000, shared_tmp_path,
                                  60.0)  # fmt: skip
        everyone = ranks.gather(found.allreduce_seconds)
        assert found.allreduce_bytes.tolist() == sorted([*MESSAGE_BYTES, 4000])
        assert found.allreduce_seconds.shape == (len(MESSAGE_BYTES) + 1, NUM_REPEATS)
        assert (found.allreduce_seconds > 0).all()
        # the slowest rank's times, the same on every rank
        for other in everyone:
            np.testing.assert_array_equal(other, found.allreduce_seconds)
