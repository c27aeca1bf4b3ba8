import json
from typing import Any

import pandas as pd
import pytest

from hpcbench.cli import main


@pytest.fixture
def study(runs: Any) -> Any:
    runs.done("p1", 1, step_seconds=[0.2] * 20, vpt=4.0)
    runs.done("p2", 2, step_seconds=[0.1] * 20, vpt=4.0)
    runs.unfinished("p4", "failed", "x", ranks=4)
    return runs


def test_mlperf_log_lines(study: Any) -> None:
    out = study.root / "log"
    assert main(["export", str(study.root), "--to", "mllog", "--out", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert all(line.startswith(":::MLLOG {") for line in lines)
    events = [json.loads(line.removeprefix(":::MLLOG ")) for line in lines]
    assert {frozenset(event) for event in events} == {
        frozenset(("namespace", "time_ms", "event_type", "key", "value", "metadata"))
    }
    keys = [event["key"] for event in events]
    assert keys.count("run_start") == keys.count("run_stop") == 2
    start, stop = (next(e for e in events if e["key"] == key) for key in ("run_start", "run_stop"))
    assert stop["time_ms"] - start["time_ms"] == pytest.approx(4000, abs=1)
    skill = next(event for event in events if event["key"] == "eval_accuracy")
    assert skill["value"] == pytest.approx(4.0)
    assert skill["metadata"]["unit"] == "Lyapunov times"


def test_extra_p_lines(study: Any) -> None:
    out = study.root / "lines"
    assert main(["export", str(study.root), "--to", "extrap", "--out", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    steps = [line for line in lines if line["metric"] == "step_seconds"]
    assert [(line["params"]["p"], line["value"]) for line in steps] == [(1, 0.2), (2, 0.1)]
    assert len({line["callpath"] for line in steps}) == 1


def test_parquet_keeps_what_failed(study: Any) -> None:
    assert main(["export", str(study.root), "--to", "parquet"]) == 0
    frame = pd.read_parquet(study.root / "records.parquet")
    assert sorted(frame["state"]) == ["done", "done", "failed"]


def test_nothing_done_or_nowhere_to_write(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runs.unfinished("a", "failed")
    assert main(["export", str(runs.root), "--to", "mllog"]) == 2
    assert "no finished run" in capsys.readouterr().err
    runs.done("b")
    (runs.root / "file").write_text("")
    out = str(runs.root / "file" / "x")
    assert main(["export", str(runs.root), "--to", "mllog", "--out", out]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["export", str(runs.root), "--to", "xml"]) == 2
