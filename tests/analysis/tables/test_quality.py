from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from analysis.records.collect import collect
from analysis.report.answer import answers
from analysis.report.findings import analyse
from analysis.tables.curves import read_curves
from analysis.tables.quality import quality_factors, quality_table, runs_to_target

# Computed from the published MLPerf HPC v1.0 logs: ranks, speed-up of the time to solution,
# epochs; then E_tts, E_alg, E_sys, to the two digits that the inputs allow.
GOLDEN = [
    ("CosmoFlow JUWELS", (512, 1024), 1.16, (43, 69), (0.58, 0.62, 0.93)),
    ("CosmoFlow NVIDIA", (128, 1024), 3.62, (18.2, 34.4), (0.45, 0.53, 0.86)),
    ("DeepCAM JUWELS", (1024, 2048), 1.07, (13, 22.2), (0.53, 0.59, 0.91)),
    ("DeepCAM NVIDIA", (512, 2048), 1.59, (16, 23.8), (0.40, 0.67, 0.59)),
    ("DeepCAM Piz Daint", (128, 1024), 2.81, (9, 23.2), (0.35, 0.39, 0.91)),
]


def table_of(runs: Any) -> pd.DataFrame:
    collection = collect([runs.root])
    curves = read_curves(collection)
    took = runs_to_target(curves, collection.studies)
    return quality_table(curves, took, collection.studies)


@pytest.mark.parametrize(("name", "ranks", "speed_up", "epochs", "expected"), GOLDEN,
                         ids=[row[0] for row in GOLDEN])  # fmt: skip
def test_published_rows(
    name: str,
    ranks: tuple[int, int],
    speed_up: float,
    epochs: tuple[float, float],
    expected: tuple[float, float, float],
) -> None:
    base, now = ((p, t, e) for p, t, e in zip(ranks, (speed_up, 1.0), epochs, strict=True))
    found = quality_factors(base, now)
    assert found["speed_up"] == pytest.approx(speed_up)
    values = (found["e_tts"], found["e_algorithmic"], found["e_system"])
    # The inputs are rounded to three digits, so the last digit of the results may differ by one.
    assert values == pytest.approx(expected, abs=0.0101)
    assert found["e_tts"] == pytest.approx(found["e_system"] * found["e_algorithmic"], rel=1e-12)


def test_recorded_targets(runs: Any) -> None:
    for ranks, seconds, samples in ((1, 100.0, 1e5), (2, 60.0, 1.1e5)):
        for k in range(6):
            metrics = {"time_to_target_seconds": (seconds * (1 + 0.001 * k), "s"),
                       "samples_to_target": (samples, "1")}  # fmt: skip
            runs.done(f"p{ranks}-{k}", ranks, metrics=metrics, vpt=None)
    table = table_of(runs).set_index("ranks")
    assert table.loc[2, "e_algorithmic"] == pytest.approx(1 / 1.1)
    assert table.loc[2, "e_tts"] == pytest.approx(100 / 60 / 2)
    assert table.loc[2, "e_tts_low"] < table.loc[2, "e_tts"] < table.loc[2, "e_tts_high"]
    assert table.loc[2, "n_reached"] == 6


def test_targets_from_validation_losses(runs: Any) -> None:
    runs.study(study={"name": "s"}, quality={"metric": "validation_loss", "target": 0.5})
    for ranks in (1, 2):
        runs.done(f"p{ranks}", ranks, step_seconds=[0.1 / ranks] * 100, vpt=None)
    table = table_of(runs)
    # The losses are those of steps 0, 20, 40 …: exp(-t/40) · 1.1 falls under 0.5 at step 40.
    assert list(table["samples_to_target"]) == [40 * 512, 40 * 512]
    assert table["seconds_to_target"].to_numpy() == pytest.approx([4.0, 2.0])
    assert table["e_tts"].to_numpy() == pytest.approx([1.0, 1.0])
    assert table["node_hours_to_target"].to_numpy() == pytest.approx([4.0 / 3600, 2.0 / 3600])
    assert list(table["target"]) == ["validation_loss ≤ 0.5"] * 2


def test_targets_from_validated_forecasts(runs: Any) -> None:
    # Two ranks learn more per sample lost: the target comes at step 60 instead of 40.
    runs.study(study={"name": "s"}, quality={"metric": "vpt_mean", "target": 3.0})
    for ranks, vpt in ((1, [1.0, 2.0, 3.5, 2.0, 4.0]), (2, [1.0, 2.0, 2.9, 3.0, 4.0])):
        path = runs.done(f"p{ranks}", ranks, step_seconds=[0.1 / ranks] * 100, vpt=None)
        with h5py.File(path / "metrics.h5", "r+") as file:
            file["validation_vpt"] = vpt
            file["validation_joules"] = np.arange(5) * 10.0
            file.attrs["samples_per_step"] = 512 * 64
    table = table_of(runs).set_index("ranks")
    assert list(table["samples_to_target"]) == [40 * 512 * 64, 60 * 512 * 64]
    assert table["seconds_to_target"].to_numpy() == pytest.approx([4.0, 3.0])
    assert table["energy_to_target_joules"].to_numpy() == pytest.approx([20.0, 30.0])
    assert table.loc[2, "e_algorithmic"] == pytest.approx(40 / 60)
    assert table.loc[2, "e_system"] == pytest.approx(1.0)
    assert table.loc[2, "e_tts"] == pytest.approx(40 / 60)
    study = analyse([runs.root])
    accuracy = study.accuracy.set_index("ranks")
    assert accuracy.loc[2, "time_to_target_seconds"] == pytest.approx(3.0)
    assert "Target of s, vpt_mean ≥ 3: reached by 2 of 2 finished runs." in answers(study)


def test_a_run_that_was_resumed_does_not_know_its_time(runs: Any) -> None:
    runs.study(study={"name": "s"}, quality={"metric": "validation_loss", "target": 0.5})
    path = runs.done("p1", 1, vpt=None)
    with h5py.File(path / "metrics.h5", "r+") as file:
        file["step_seconds"][:30] = np.nan
    assert table_of(runs).empty


def test_runs_without_the_history_say_what_to_set(runs: Any) -> None:
    runs.study(study={"name": "s"}, quality={"metric": "vpt_mean", "target": 3.0})
    runs.done("p1", 1)
    sentence = next(text for text in answers(analyse([runs.root])) if text.startswith("Target"))
    assert "no run kept a history of vpt_mean" in sentence
    assert "train.validate_forecasts" in sentence


def test_no_target_no_rows(runs: Any) -> None:
    runs.done("a", 1)
    assert table_of(runs).empty


def test_a_target_nobody_reached_has_no_rows(runs: Any) -> None:
    runs.study(study={"name": "s"}, quality={"metric": "validation_loss", "target": 1e-9})
    runs.done("a", 1)
    assert table_of(runs).empty
    assert "reached by 0 of 1 finished runs" in " ".join(answers(analyse([runs.root])))
