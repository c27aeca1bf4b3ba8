import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.records.collect import COLUMNS, collect
from hpcbench.errors import InputError


def row(runs: Any, name: str) -> dict[object, object]:
    frame = collect([runs.root]).frame
    return frame[frame["run"] == name].to_dict("records")[0]


def test_a_finished_run_becomes_one_row_with_its_metrics(runs: Any) -> None:
    runs.done("a", 2, vpt=4.0)
    collection = collect([runs.root])
    (record,) = collection.frame.to_dict("records")
    assert record["state"] == "done"
    assert record["run"] == "a"
    assert record["system"] == "lorenz96"
    assert record["parameters"] == "forcing=8, num_sites=40"
    assert record["model"] == "lstm 32 local(halo 4) increment"
    assert record["method"] == "tbptt adam"
    assert record["backend"] == "horovod"
    assert record["ranks"] == 2
    assert record["metric.vpt_mean"] == pytest.approx(4.0)
    assert collection.units["vpt_mean"] == "Lyapunov times"
    assert record["command"].startswith("mpirun -n 2 hpcbench train 'spec with")
    assert collection.configs[record["config_hash"]]["train"]["window"] == 64


def test_the_run_directory_itself_can_be_given(runs: Any) -> None:
    path = runs.done("a")
    assert list(collect([path]).frame["run"]) == ["a"]


def test_overlapping_paths_count_a_run_once(runs: Any) -> None:
    path = runs.done("a")
    runs.done("b")
    assert len(collect([runs.root, path]).frame) == 2


def test_several_studies_keep_their_names(make_runs: Callable[[str], Any]) -> None:
    first, second = make_runs("one"), make_runs("two")
    first.done("a")
    second.done("a")
    assert list(collect([first.root, second.root]).frame["study"]) == ["one", "two"]


@pytest.mark.parametrize(
    "state", ["failed", "diverged", "interrupted", "running", "out of memory", "node failure"]
)
def test_a_run_without_result_keeps_its_state_and_reason(runs: Any, state: str) -> None:
    runs.unfinished("a", state, "rank 1 was killed")
    record = row(runs, "a")
    assert record["state"] == state
    assert record["reason"] == "rank 1 was killed (step 17 of 200)"
    assert (
        math.isnan(float(str(record["metric.vpt_mean"]))) if "metric.vpt_mean" in record else True
    )


def test_a_run_that_says_done_without_result_was_interrupted(runs: Any) -> None:
    runs.unfinished("a", "done")
    assert row(runs, "a")["state"] == "interrupted"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{half", "corrupt or partly written"),
        ("", "corrupt or partly written"),
        ("[1, 2]", "expected a JSON object"),
        ('{"hello": 1}', "no schema number"),
        ('{"schema": 2}', "newer than 1"),
        ('{"schema": "one"}', "expected the number 1"),
        ('{"schema": true}', "expected the number 1"),
        ('{"schema": 0}', "older than 1"),
        ('{"schema": 1, "config": 5}', "must be tables"),
        ('{"schema": 1, "metrics": 5}', "metrics must be a list"),
        ('{"schema": 1, "metrics": [{"value": 5}]}', "name"),
        ("\udcff", "corrupt or partly written"),
        ("[" * 100_000, "corrupt or partly written"),
    ],
)
def test_a_record_that_cannot_be_read_says_why(runs: Any, text: str, reason: str) -> None:
    path = runs.raw("a", "")
    (path / "result.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    record = row(runs, "a")
    assert record["state"] == "unreadable"
    assert reason in str(record["reason"])


def test_metrics_without_a_value_are_nan(runs: Any) -> None:
    runs.done("a", vpt=None, metrics={"vpt_mean": (None, "Lyapunov times")})
    record = row(runs, "a")
    assert record["state"] == "done"
    assert math.isnan(float(str(record["metric.vpt_mean"])))


def test_points_of_a_study_that_never_started_are_missing(runs: Any) -> None:
    runs.study(
        study={"name": "s", "question": "?"},
        points=[{"id": "p1", "config": runs.config(), "ranks": 1}, {"id": "p2", "ranks": 2}, "p3"],
    )
    runs.done("points/p1/a1")
    frame = collect([runs.root]).frame
    assert dict(zip(frame["point"], frame["state"], strict=True)) == {
        "p1": "done", "p2": "missing", "p3": "missing",
    }  # fmt: skip
    assert set(frame["study"]) == {"s"}


def test_a_corrupt_study_file_is_a_row_and_the_runs_are_still_read(runs: Any) -> None:
    runs.done("points/p1/a1")
    (runs.root / "study.json").write_text("{")
    assert sorted(collect([runs.root]).frame["state"]) == ["done", "unreadable"]


def test_forecasts_of_a_run_are_rows_of_their_own(runs: Any) -> None:
    path = runs.done("a")
    runs.done("a/forecasts/other", dataset={**runs.dataset, "system": "kuramoto_sivashinsky"})
    record = json.loads((path / "forecasts/other/result.json").read_text())
    (path / "forecasts/other/result.json").write_text(json.dumps({**record, "kind": "forecast"}))
    frame = collect([runs.root]).frame
    assert list(frame["run"]) == ["a", "a/forecasts/other"]
    assert list(frame["kind"]) == ["train", "forecast"]


def test_an_empty_folder_gives_an_empty_frame_with_all_columns(tmp_path: Path) -> None:
    frame = collect([tmp_path]).frame
    assert len(frame) == 0
    assert list(frame.columns) == list(COLUMNS)


def test_a_missing_path_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "smoke").mkdir()
    with pytest.raises(InputError, match='did you mean "smoke"'):
        collect([tmp_path / "smok"])


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        collect([tmp_path / "file"])
