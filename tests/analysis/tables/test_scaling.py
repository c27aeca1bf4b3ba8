from typing import Any

import numpy as np
import pytest

from analysis.records.collect import collect
from analysis.tables.curves import raw_points, read_curves
from analysis.tables.scaling import SCALING_COLUMNS, scaling_table


def noisy(runs: Any, seconds: float, steps: int = 60, noise: float = 0.02) -> np.ndarray:
    return seconds * np.exp(noise * runs.rng.standard_normal(steps))


def test_strong_scaling_of_exact_times(runs: Any) -> None:
    for ranks, seconds in ((2, 0.6), (4, 0.4), (8, 0.2)):
        runs.done(f"p{ranks}", ranks, step_seconds=[seconds] * 20)
    table = scaling_table(read_curves(collect([runs.root])))
    assert list(table.columns) == list(SCALING_COLUMNS)
    assert list(table["ranks"]) == [2, 4, 8]
    assert list(table["base_ranks"]) == [2, 2, 2]
    assert table["base_seconds"].to_numpy() == pytest.approx([0.6] * 3)
    assert table["speed_up"].to_numpy() == pytest.approx([1.0, 1.5, 3.0])
    assert table["efficiency"].to_numpy() == pytest.approx([1.0, 0.75, 0.75])
    assert list(table["interval_over"]) == ["steps"] * 3
    assert table["sequences_per_second"].to_numpy() == pytest.approx([512 / 0.6, 1280, 2560])
    assert not table["super_linear"].any()


def test_interval_is_over_runs_once_there_are_six(runs: Any) -> None:
    for ranks in (1, 2):
        for k in range(6):
            runs.done(f"points/p{ranks}/a{k}", ranks, step_seconds=noisy(runs, 0.1 / ranks))
    table = scaling_table(read_curves(collect([runs.root])))
    assert list(table["n"]) == [6, 6]
    assert list(table["interval_over"]) == ["runs", "runs"]
    second = table.iloc[1]
    assert second["speed_up_low"] < second["speed_up"] < second["speed_up_high"]
    assert second["speed_up"] == pytest.approx(2.0, rel=0.02)


def test_a_few_unlike_runs_state_a_median_inside_its_interval(runs: Any) -> None:
    runs.done("short", 1, step_seconds=noisy(runs, 0.1, steps=40))
    runs.done("long", 1, step_seconds=noisy(runs, 0.2, steps=400))
    row = scaling_table(read_curves(collect([runs.root]))).iloc[0]
    assert row["step_seconds_low"] <= row["step_seconds"] <= row["step_seconds_high"]
    assert row["interval_over"] == "steps"


def test_warm_up_does_not_enter_a_timing(runs: Any) -> None:
    runs.done("a", 1, step_seconds=[9.0] * 5 + [0.1] * 20, num_warmup_steps=5)
    assert scaling_table(read_curves(collect([runs.root])))["step_seconds"][0] == pytest.approx(0.1)


def test_weak_scaling_compares_times_and_throughput_rates(runs: Any) -> None:
    for mode, speed_up in (("weak", 1.6), ("throughput", 1.6)):
        runs.study(study={"name": mode}, scaling={"mode": mode})
        for ranks, seconds in ((1, 0.1), (2, 0.125)):
            config = runs.config(train__global_batch=64 * ranks)
            path = runs.root / mode / f"p{ranks}"
            if not path.exists():
                runs.done(f"{mode}/p{ranks}", ranks, config=config, step_seconds=[seconds] * 20)
        last = scaling_table(read_curves(collect([runs.root]))).query("ranks == 2").iloc[0]
        assert last["mode"] == mode
        assert last["efficiency"] == pytest.approx(0.8)
        assert last["speed_up"] == pytest.approx(speed_up)


def test_strong_scaling_never_mixes_batches(runs: Any) -> None:
    for ranks in (1, 2):
        runs.done(f"p{ranks}", ranks, config=runs.config(train__global_batch=64 * ranks))
    table = scaling_table(read_curves(collect([runs.root])))
    assert table["group"].nunique() == 2
    assert list(table["base_ranks"]) == [1, 2]


def test_back_ends_and_seeds_share_the_work_but_not_the_curve(runs: Any) -> None:
    for backend in ("horovod", "ddp"):
        for seed in (1, 2):
            runs.done(f"{backend}{seed}", 1, config=runs.config(train__backend=backend, seed=seed))
    table = scaling_table(read_curves(collect([runs.root])))
    assert sorted(table["backend"]) == ["ddp", "horovod"]
    assert table["group"].nunique() == 1
    assert list(table["n_ok"]) == [2, 2]


def test_what_failed_is_counted_and_never_timed(runs: Any) -> None:
    runs.study(points=[{"id": "p4", "config": runs.config(), "ranks": 4, "backend": "horovod"}])
    runs.done("points/p1/a1", 1, step_seconds=[0.1] * 20)
    failed = runs.done("points/p2/a1", 2, step_seconds=[0.01] * 20)
    text = (failed / "result.json").read_text().replace('"done"', '"failed"')
    (failed / "result.json").write_text(text)
    table = scaling_table(read_curves(collect([runs.root]))).set_index("ranks")
    assert table.loc[2, ["n_ok", "n_failed", "n_missing"]].to_list() == [0, 1, 0]
    assert np.isnan(table.loc[2, "step_seconds"])
    assert table.loc[1, "n_ok"] == 1


def test_super_linear_rows_are_flagged(runs: Any) -> None:
    for ranks, seconds in ((1, 0.1), (2, 0.04)):
        runs.done(f"p{ranks}", ranks, step_seconds=noisy(runs, seconds))
    assert list(scaling_table(read_curves(collect([runs.root])))["super_linear"]) == [False, True]


def test_a_run_without_series_counts_with_its_median(runs: Any) -> None:
    path = runs.done("a", 1, step_seconds=[0.1] * 20)
    (path / "metrics.h5").write_bytes(b"not HDF5")
    table = scaling_table(read_curves(collect([runs.root])))
    assert table["step_seconds"][0] == pytest.approx(0.1)
    assert np.isnan(table["sequences_per_second"][0])


def test_raw_points_are_the_medians_of_the_runs(runs: Any) -> None:
    for k in range(3):
        runs.done(f"a{k}", 1, step_seconds=[0.1 + k] * 9)
    points = raw_points(read_curves(collect([runs.root])))
    assert points["step_seconds"].to_numpy() == pytest.approx([0.1, 1.1, 2.1])


def test_speed_up_is_that_of_the_times_in_its_row(runs: Any) -> None:
    # Two unequal runs: the median over runs and the median over all their steps differ.
    for ranks, medians in ((1, (0.10, 0.11)), (2, (0.05, 0.2))):
        for k, seconds in enumerate(medians):
            runs.done(f"p{ranks}-{k}", ranks, step_seconds=noisy(runs, seconds)[: 60 - 20 * k])
    row = scaling_table(read_curves(collect([runs.root]))).set_index("ranks").loc[2]
    assert row["speed_up"] == pytest.approx(row["base_seconds"] / row["step_seconds"])
    assert row["speed_up_low"] < row["speed_up"] < row["speed_up_high"]
