"""What jobs measured of their machine: planted α, β and rates come back, beside the steps."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from analysis.report.findings import analyse
from analysis.tables.baselines import message_line

LATENCY, PER_BYTE = 2e-5, 1e-9
SIZES = np.array([1024.0, 16384, 262144, 1 << 20, 1 << 22])
GRADIENT = 4.0e6


def ring(ranks: int, sizes: Any) -> Any:
    hops = 2 * (ranks - 1)
    return hops * LATENCY + hops / ranks * sizes * PER_BYTE


def plant(path: Path, ranks: int, noise: float, rng: np.random.Generator) -> None:
    with h5py.File(path / "metrics.h5", "r+") as file:
        if ranks > 1:
            times = ring(ranks, SIZES)[:, None] * np.exp(noise * rng.standard_normal((5, 5)))
            file["allreduce_bytes"], file["allreduce_seconds"] = SIZES, times
        file["read_bytes"] = np.full(4, 1e6)
        file["read_seconds"] = np.array([[0.01] * 4, [0.001] * 4])
        file["write_bytes"], file["write_seconds"] = [8e6], [0.1]
        file["data_seconds"] = 0.002 * np.ones(file["step_seconds"].shape)
        file.attrs["gradient_bytes"] = GRADIENT


def test_the_line_through_exact_times_is_exact() -> None:
    runs = pd.DataFrame({"bytes": SIZES, "seconds": 3e-5 + 2e-9 * SIZES})
    assert message_line(runs) == pytest.approx((3e-5, 2e-9))


def test_one_straggler_moves_no_line() -> None:
    runs = pd.DataFrame(
        {"bytes": np.repeat(SIZES, 5), "seconds": np.repeat(3e-5 + 2e-9 * SIZES, 5)}
    )
    runs.loc[3, "seconds"] = 1.0
    assert message_line(runs) == pytest.approx((3e-5, 2e-9))


@pytest.mark.parametrize("sizes", [[], [1024.0]])
def test_too_few_sizes_are_no_line(sizes: list[float]) -> None:
    runs = pd.DataFrame({"bytes": sizes, "seconds": [1e-3] * len(sizes)}, dtype=float)
    assert np.isnan(message_line(runs)).all()


def test_predicted_stands_beside_measured(runs: Any) -> None:
    rng = np.random.default_rng(5)
    for ranks in (1, 2, 4):
        for k in range(6):
            seconds = 0.1 / ranks + (ring(ranks, GRADIENT) if ranks > 1 else 0.0)
            path = runs.done(f"p{ranks}-{k}", ranks, step_seconds=[seconds] * 30, vpt=None)
            plant(path, ranks, 0.02, rng)
    study = analyse([runs.root])
    table = study.baselines.set_index("ranks")
    for ranks in (2, 4):
        row = table.loc[ranks]
        assert row["allreduce_latency_seconds"] == pytest.approx(LATENCY, rel=0.05)
        assert row["allreduce_bytes_per_second"] == pytest.approx(1 / PER_BYTE, rel=0.05)
        assert row["allreduce_seconds"] == pytest.approx(ring(ranks, GRADIENT), rel=0.05)
    assert np.isnan(table.loc[1, "allreduce_seconds"])
    assert table.loc[1, "read_first_bytes_per_second"] == pytest.approx(1e8)
    assert table.loc[1, "read_again_bytes_per_second"] == pytest.approx(1e9)
    assert table.loc[1, "read_seconds"] == pytest.approx(0.001)
    assert table.loc[1, "data_seconds"] == pytest.approx(0.002)
    assert table.loc[1, "write_bytes_per_second"] == pytest.approx(8e7)
    # the planted step is exactly what the law says, and the prediction knows nothing of it but p₀
    scaling = study.scaling.set_index("ranks")
    for ranks in (2, 4):
        expected = scaling.loc[ranks, "step_seconds"]
        assert scaling.loc[ranks, "predicted_seconds"] == pytest.approx(expected, rel=0.01)
    ring_law = study.allreduce_fits["horovod"][0]
    assert ring_law.law.name == "ring allreduce"
    for name, truth in (("latency", LATENCY), ("seconds_per_byte", PER_BYTE)):
        interval = ring_law.parameters[name]
        assert interval.low <= truth <= interval.high


def test_runs_without_baselines_have_no_rows(runs: Any) -> None:
    runs.done("a", 1)
    assert analyse([runs.root]).baselines.empty
