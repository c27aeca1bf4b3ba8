"""Every training method gives the same result on any number of ranks at a fixed global batch."""

import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from mpi4py import MPI
from torch import Tensor

from hpcbench.cli import main
from hpcbench.config.tree import validate
from hpcbench.errors import InputError
from hpcbench.parallel.flat_mpi import FlatMPI
from hpcbench.parallel.horovod import Horovod
from hpcbench.run.checkpoint import read_checkpoint
from hpcbench.run.record import read_json
from hpcbench.training.optimizers.registry import OPTIMIZERS
from hpcbench.training.run_config import RunConfig
from hpcbench.training.train import train

pytestmark = [pytest.mark.mpi, pytest.mark.usefixtures("one_thread")]

METHODS = Path(__file__).resolve().parents[1] / "hpcbench" / "training" / "methods"
CASES = tomllib.loads((METHODS / "cases.toml").read_text())["case"]
NAMES = [f"{case['method']}-{index}" for index, case in enumerate(CASES)]

SPEC = """
system = "lorenz96"
seed = 1
[parameters]
num_sites = 8
forcing = 8.0
[integration]
scheme = "rk4"
step = 0.01
spin_up = 2.0
[sampling]
num_trajectories = 12
num_samples = 60
sample_interval = 0.01
dtype = "float64"
split = [0.5, 0.25, 0.25]
"""

TOLERANCE = {"rtol": 0.0, "atol": 1e-12}

PLAIN = {"method": "tbptt"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small dataset for all ranks."""
    folder = Path(MPI.COMM_WORLD.bcast(str(tmp_path_factory.mktemp("methods"))))
    if MPI.COMM_WORLD.Get_rank() == 0:
        (folder / "spec.toml").write_text(SPEC)
    MPI.COMM_WORLD.Barrier()
    path = folder / "lorenz96.h5"
    assert main(["simulate", str(folder / "spec.toml"), "--out", str(path)]) == 0
    return path


def trained(
    case: dict[str, Any], data: Path, out: Path, ranks: Any, **train_section: Any
) -> dict[str, Tensor]:
    """Return the model and what the method keeps after five steps."""
    model = {"hidden": 4, "halo": 1, "cell": "stepped_lstm"}
    model |= {key: case[key] for key in ("cell", "layers") if key in case}
    section = {
        "method": case["method"],
        "options": case.get("options", {}),
        "window": 4,
        "carry": 8,
        "global_batch": 6,
        "steps": 5,
        "backend": "mpi",
        "dtype": "float64",
        **train_section,
    }
    tree = {
        "dataset": {"path": str(data)},
        "model": model,
        "train": section,
        "forecast": {"initial_conditions": 0},
    }
    train(validate(RunConfig, tree, "case"), out, ranks=ranks)
    MPI.COMM_WORLD.Barrier()
    checkpoint = read_checkpoint(out / "checkpoint")
    assert checkpoint is not None
    return checkpoint.model | checkpoint.method


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_result_does_not_depend_on_the_ranks(
    case: dict[str, Any], data: Path, tmp_path: Path, shared_tmp_path: Path
) -> None:
    """All ranks together, and each rank alone with the whole batch."""
    together = trained(case, data, shared_tmp_path / "together", FlatMPI())
    alone = trained(case, data, tmp_path / "alone", FlatMPI(MPI.COMM_SELF))
    assert together.keys() == alone.keys()
    tolerance = case.get("tolerance", 1e-12)
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=0, atol=tolerance, msg=key)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_result_of_an_optimiser_does_not_depend_on_the_ranks(
    optimizer: str, data: Path, tmp_path: Path, shared_tmp_path: Path
) -> None:
    """With clipping, which must act on the averaged gradient."""
    options = {"optimizer": optimizer, "learning_rate": 1e-2, "clip": 0.5}
    together = trained(PLAIN, data, shared_tmp_path / "together", FlatMPI(), **options)
    alone = trained(PLAIN, data, tmp_path / "alone", FlatMPI(MPI.COMM_SELF), **options)
    # the sums over ranks round differently, and SOAP's weakest directions turn with it
    tolerance = 1e-7 if optimizer == "soap" else 1e-11
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=0, atol=tolerance, msg=key)


@pytest.fixture(scope="module")
def horovod() -> Horovod:
    """Horovod, started once: it is not started again after its end."""
    return Horovod()


@pytest.mark.parametrize("case", [PLAIN, {"method": "ridge", "options": {"penalty": 1e-4}}])
def test_horovod_gives_the_same(
    case: dict[str, Any], data: Path, shared_tmp_path: Path, horovod: Horovod
) -> None:
    ours = trained(case, data, shared_tmp_path / "horovod", horovod, backend="horovod")
    flat = trained(case, data, shared_tmp_path / "flat", FlatMPI())
    for key, value in flat.items():
        torch.testing.assert_close(ours[key], value, **TOLERANCE, msg=key)


@pytest.mark.parametrize("optimizer", ["soap", "lamb", "lars", "scheduled_nesterov", "stable_sgd"])
def test_horovod_drives_our_own_optimisers(
    optimizer: str, data: Path, shared_tmp_path: Path, horovod: Horovod
) -> None:
    options = {"optimizer": optimizer, "learning_rate": 1e-2, "clip": 1.0}
    # Horovod and MPI round sums of three differently; SOAP's weakest directions turn with it
    tolerance = 1e-7 if optimizer == "soap" else 1e-10
    ours = trained(PLAIN, data, shared_tmp_path / "own", horovod, backend="horovod", **options)
    flat = trained(PLAIN, data, shared_tmp_path / "flat", FlatMPI(), **options)
    for key, value in flat.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=tolerance, msg=key)


def test_half_precision_gradients_stay_close(
    data: Path, shared_tmp_path: Path, horovod: Horovod
) -> None:
    options = {"backend": "horovod", "optimizer": "sgd", "learning_rate": 0.05}
    half = trained(PLAIN, data, shared_tmp_path / "half", horovod, compression="fp16", **options)
    whole = trained(PLAIN, data, shared_tmp_path / "whole", horovod, **options)
    differ = [not torch.equal(half[key], whole[key]) for key in whole]
    assert any(differ)
    for key, value in whole.items():
        torch.testing.assert_close(half[key], value, rtol=0, atol=1e-3, msg=key)


def test_half_precision_keeps_the_loss_curve(
    data: Path, shared_tmp_path: Path, horovod: Horovod
) -> None:
    options = {"backend": "horovod", "learning_rate": 1e-2, "steps": 50, "dtype": "float32"}
    curves = []
    for compression in ("none", "fp16"):
        out = shared_tmp_path / compression
        trained(PLAIN, data, out, horovod, compression=compression, **options)
        with h5py.File(out / "metrics.h5") as file:
            curves.append(file["loss"][:])
        metrics = read_json(out / "result.json")["metrics"]
        shares = [m["value"] for m in metrics if m["name"] == "gradient_underflow_share"]
        assert len(shares) == (compression == "fp16")
        assert all(0 <= share < 0.01 for share in shares)
    assert not np.array_equal(*curves)
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.02)


def test_half_precision_counts_what_becomes_zero(horovod: Horovod) -> None:
    layer = torch.nn.Linear(3, 1, bias=False)
    hvd_layer, optimizer = horovod.attach(
        layer, torch.optim.SGD(layer.parameters(), lr=1.0), compression="fp16"
    )
    inputs = torch.tensor([[1e-9, 0.0, 1.0 + horovod.rank]])  # too small, zero, and well
    with torch.no_grad():
        layer.weight.zero_()
    hvd_layer(inputs).sum().backward()
    horovod.finish(layer, optimizer)
    assert layer.weight.grad is not None
    mean = 1.0 + (horovod.size - 1) / 2
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.0, 0.0, mean]]))
    (metric,) = horovod.metrics()
    assert metric.n == 3 * horovod.size
    assert metric.value == pytest.approx(1 / 3)


def test_adasum_adds_the_orthogonal_and_averages_the_parallel(horovod: Horovod) -> None:
    if horovod.size & (horovod.size - 1):
        with pytest.raises(InputError, match=r"power of two of ranks, given 3; start 2 or 4"):
            horovod.attach(torch.nn.Linear(1, 1), torch.optim.SGD([torch.ones(1)]), "adasum")
        return
    hvd = horovod.hvd
    unit = torch.eye(horovod.size, dtype=torch.float64)[horovod.rank]
    combined = hvd.allreduce(unit, op=hvd.Adasum, name="orthogonal")
    torch.testing.assert_close(combined, torch.ones_like(unit), rtol=0, atol=1e-12)
    if horovod.size == 2:
        torch.manual_seed(1)
        g1, g2 = torch.randn(2, 7, dtype=torch.float64)
        combined = hvd.allreduce((g1, g2)[horovod.rank], op=hvd.Adasum, name="any")
        inner = g1 @ g2
        first, second = 1 - inner / (2 * g1 @ g1), 1 - inner / (2 * g2 @ g2)
        torch.testing.assert_close(combined, first * g1 + second * g2, rtol=0, atol=1e-12)
    same = torch.arange(1.0, 5.0, dtype=torch.float64)
    combined = hvd.allreduce(same, op=hvd.Adasum, name="parallel")
    torch.testing.assert_close(combined, same, rtol=0, atol=1e-12)


def test_adasum_combines_the_steps_of_the_ranks(
    data: Path, shared_tmp_path: Path, horovod: Horovod
) -> None:
    """It trains on a power of two of ranks; on others it is refused before anything is written."""
    options = {"backend": "horovod", "reduction": "adasum", "optimizer": "sgd"}
    out = shared_tmp_path / "adasum"
    if horovod.size & (horovod.size - 1):
        with pytest.raises(InputError, match="adasum"):
            trained(PLAIN, data, out, horovod, **options)
        assert not out.exists()
        return
    combined = trained(PLAIN, data, out, horovod, **options, learning_rate=0.05)
    average = trained(
        PLAIN, data, shared_tmp_path / "average", FlatMPI(), optimizer="sgd", learning_rate=0.05
    )
    for key, value in combined.items():
        assert torch.isfinite(value).all()
        torch.testing.assert_close(value, average[key], rtol=0, atol=0.2)
