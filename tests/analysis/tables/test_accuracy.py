from typing import Any

import numpy as np
import pytest

from analysis.records.collect import collect
from analysis.tables.accuracy import ACCURACY_COLUMNS, accuracy_table


def test_a_scored_run_has_an_interval_and_beats_trivial_forecasts(runs: Any) -> None:
    runs.done("a", vpt=4.0)
    table = accuracy_table(collect([runs.root]))
    assert list(table.columns) == list(ACCURACY_COLUMNS)
    row = table.iloc[0]
    assert row["vpt_mean"] == pytest.approx(4.0)
    assert row["vpt_low"] < 4.0 < row["vpt_high"]
    assert row["n"] == 64
    assert row["vpt_gain_persistence"] == pytest.approx(4.0 - 0.31)
    assert row["vpt_gain_climatology"] == pytest.approx(4.0)
    assert row["nrmse_ratio_climatology_0.5"] == pytest.approx(row["nrmse_0.5"])
    assert row["nrmse_ratio_persistence_1"] < 1
    assert row["parameters_count"] == 5500
    assert row["lyapunov_exponent"] == 1.68


def test_the_interval_narrows_with_the_spread(runs: Any) -> None:
    runs.done("a", vpt=4.0)
    row = accuracy_table(collect([runs.root])).iloc[0]
    # 20 % spread over 64 initial conditions: about ±1.96 · 0.2 · 4 / 8.
    assert row["vpt_high"] - row["vpt_low"] == pytest.approx(2 * 1.96 * 0.1, rel=0.35)


def test_runs_without_forecasts_keep_their_row(runs: Any) -> None:
    runs.done("a", vpt=None)
    runs.unfinished("b", "diverged", "loss is NaN")
    table = accuracy_table(collect([runs.root])).set_index("run")
    assert np.isnan(table.loc["a", "vpt_mean"])
    assert table.loc["b", "state"] == "diverged"
    assert "loss is NaN" in table.loc["b", "reason"]


def test_a_corrupt_forecast_file_leaves_the_recorded_metrics(runs: Any) -> None:
    path = runs.done("a", vpt=4.0)
    (path / "forecast.h5").write_bytes(b"\x89HDF\r\n\x1a\n half")
    row = accuracy_table(collect([runs.root])).iloc[0]
    assert row["vpt_mean"] == pytest.approx(4.0)
    assert row["interval_from"] == "standard error"
    assert row["vpt_high"] - row["vpt_low"] == pytest.approx(2 * 1.96 * row["vpt_standard_error"])


def test_many_runs_are_not_opened_one_by_one(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.tables.accuracy.MAX_SERIES", 1)
    for k in range(2):
        (runs.done(f"a{k}", vpt=4.0) / "forecast.h5").write_text("never opened")
    table = accuracy_table(collect([runs.root]))
    assert list(table["interval_from"]) == ["standard error"] * 2
    assert list(table["n"]) == [64, 64]
