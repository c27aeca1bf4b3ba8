"""A small Lorenz-96 dataset and a training spec that finishes in seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mpi4py import MPI

from hpcbench.cli import main

SPEC = """
system = "lorenz96"
seed = 1
[parameters]
num_sites = 12
forcing = 8.0
[integration]
scheme = "rk4"
step = 0.01
spin_up = 2.0
[sampling]
num_trajectories = 16
num_samples = 200
sample_interval = 0.01
dtype = "float32"
split = [0.5, 0.25, 0.25]
"""

TRAIN = """
seed = 3
[dataset]
path = "{data}"
[model]
hidden = 8
halo = 2
[train]
window = 4
carry = 8
global_batch = 6
steps = 50
learning_rate = 1e-2
backend = "{backend}"
dtype = "{dtype}"
validate_every = 20
checkpoint_every = 15
[forecast]
initial_conditions = 8
warm_up = 10
horizon = 1.0
lyapunov_exponent = 1.5
"""


@pytest.fixture(scope="session")
def lorenz96_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete dataset of 16 trajectories, 12 sites; 8 train, 4 validate, 4 test.

    Ranks of an MPI test share the one that rank 0 names.
    """
    folder = MPI.COMM_WORLD.bcast(tmp_path_factory.mktemp("dataset"))
    (folder / "spec.toml").write_text(SPEC)
    MPI.COMM_WORLD.Barrier()
    data = folder / "lorenz96.h5"
    assert main(["simulate", str(folder / "spec.toml"), "--out", str(data)]) == 0
    return data


@pytest.fixture
def train_spec(tmp_path: Path, lorenz96_file: Path) -> Callable[..., Path]:
    """Return a function that writes a training spec for this dataset."""

    def write(backend: str = "none", dtype: str = "float32", data: Path = lorenz96_file) -> Path:
        path = tmp_path / "train.toml"
        path.write_text(TRAIN.format(data=data, backend=backend, dtype=dtype))
        return path

    return write
