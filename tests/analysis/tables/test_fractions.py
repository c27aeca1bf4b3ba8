from typing import Any

import h5py
import numpy as np
import pytest

from analysis.records.collect import collect
from analysis.tables.curves import read_curves
from analysis.tables.fractions import FACTORS, fraction_table


def write_times(
    runs: Any, name: str, ranks: int, compute: Any, data: float, rest: float, backend: str
) -> None:
    """Write a run whose ranks compute for ``compute`` seconds each and then wait for the slowest.

    The parts are exact, so that the factors can be worked out by hand.
    """
    path = runs.done(name, ranks, vpt=None, config=runs.config(train__backend=backend))
    each = np.broadcast_to(np.asarray(compute, dtype=float), (40, ranks))
    with h5py.File(path / "metrics.h5", "r+") as file:
        del file["step_seconds"], file["compute_seconds"], file["loss"]
        file["loss"] = np.ones(40)
        file["compute_seconds"] = each
        file["data_seconds"] = np.full((40, ranks), data)
        whole = each.max(axis=1, keepdims=True) + data + rest
        file["step_seconds"] = np.broadcast_to(whole, (40, ranks))


def table(runs: Any) -> Any:
    return fraction_table(read_curves(collect([runs.root])))


def test_factors_by_hand(runs: Any) -> None:
    write_times(runs, "p1", 1, [0.8], 0.1, 0.1, "horovod")
    write_times(runs, "p2", 2, [0.4, 0.5], 0.1, 0.4, "horovod")
    first, second = table(runs).to_dict("records")
    assert [first[name] for name in FACTORS] == pytest.approx([1.0] * 4)
    assert second["compute"] == pytest.approx(1 * 0.8 / (2 * 0.45))
    assert second["load_balance"] == pytest.approx(0.45 / 0.5)
    assert second["data_wait"] == pytest.approx((0.5 / 0.6) / (0.8 / 0.9))
    assert second["exposed_communication"] == pytest.approx((0.6 / 1.0) / (0.9 / 1.0))
    assert second["efficiency"] == pytest.approx(0.5)
    assert second["product"] == pytest.approx(0.5)
    assert second["residual"] == pytest.approx(1.0)
    assert second["exposed_from"] == "rest of the step"


def test_exposed_communication_is_measured_without_synchronisation(runs: Any) -> None:
    for backend, rest in (("none", 0.02), ("horovod", 0.30)):
        write_times(runs, f"{backend}1", 1, [0.8], 0.0, 0.02, backend)
        write_times(runs, f"{backend}2", 2, [0.4, 0.4], 0.0, rest, backend)
    row = table(runs).query("backend == 'horovod' and ranks == 2").iloc[0]
    assert row["exposed_seconds"] == pytest.approx(0.28)
    assert row["exposed_from"] == "back end none"
    assert row["efficiency"] == pytest.approx(0.82 / (2 * 0.70))
    # The step without synchronisation holds the optimiser, which the factors do not: residual.
    assert row["residual"] == pytest.approx(row["efficiency"] / row["product"])
    assert row["residual"] == pytest.approx(1.0, abs=0.05)


def test_factors_multiply_back_with_stragglers_and_noise(runs: Any) -> None:
    rng = np.random.default_rng(0)
    for ranks in (1, 2, 4, 8):
        slow = 0.8 / ranks * np.exp(0.1 * rng.standard_normal((40, ranks)))
        write_times(runs, f"p{ranks}", ranks, slow, 0.01, 0.02 * ranks, "horovod")
    found = table(runs)
    assert found["residual"].to_numpy() == pytest.approx(np.ones(4), abs=1e-9)
    balance = found["load_balance"].to_numpy()
    assert (np.diff(balance) < 0).all()
    assert (found[list(FACTORS)].prod(axis=1) - found["efficiency"]).abs().max() < 1e-9


def test_runs_without_per_rank_times_have_no_factors(runs: Any) -> None:
    path = runs.done("a", 1)
    (path / "metrics.h5").unlink()
    assert table(runs).empty
