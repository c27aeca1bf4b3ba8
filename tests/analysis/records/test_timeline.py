import json
from typing import Any

import pytest

from analysis.records.collect import collect
from analysis.records.timeline import attempt_table, spans


def write_attempt(path: Any, **changes: Any) -> None:
    record = {
        "schema": 1, "state": "done", "site": "cluster", "job_id": "4711_3", "nodes": ["n1", "n2"],
        "submitted": "2026-01-01T00:00:00.000+00:00", "ended": "2026-01-01T00:02:00.000+00:00",
        "times": {"queue": 30.0, "launch": 2.0, "init": 8.0, "run": 80.0}, **changes,
    }  # fmt: skip
    (path / "attempt.json").write_text(json.dumps(record))


def test_phases_jobs_and_nodes_of_attempts(runs: Any) -> None:
    write_attempt(runs.done("points/a/a1"))
    runs.done("points/b/a1")
    table = attempt_table(collect([runs.root]).frame).set_index("run")
    row = table.loc["points/a/a1"]
    assert (row["job_id"], row["nodes"], row["queue_seconds"]) == ("4711_3", "n1, n2", 30.0)
    assert row["end"] - row["begin"] == pytest.approx(80.0)
    phases = spans(table.reset_index()).query("run == 'points/a/a1'").set_index("phase")
    assert phases.loc["queue", "end"] - phases.loc["queue", "begin"] == pytest.approx(30.0)
    assert phases.loc["init", "end"] == phases.loc["run", "begin"]
    assert list(phases.index) == ["run", "init", "launch", "queue"]


def test_who_started_the_ranks_knows_how_they_ended(runs: Any) -> None:
    path = runs.unfinished("points/a/a1", "running")
    write_attempt(path, state="node failure", reason="n2 was lost")
    bare = runs.root / "points/b/a1"
    bare.mkdir(parents=True)
    write_attempt(bare, state="timed out", reason="the time limit was reached at step 3")
    frame = collect([runs.root]).frame.set_index("point")
    assert frame.loc["a", ["state", "reason"]].to_list() == ["node failure", "n2 was lost"]
    assert frame.loc["b", "state"] == "timed out"


def test_an_attempt_without_times_is_left_out(runs: Any) -> None:
    path = runs.done("a")
    (path / "status.json").unlink()
    assert attempt_table(collect([runs.root]).frame).empty
    assert spans(attempt_table(collect([runs.root]).frame)).empty
