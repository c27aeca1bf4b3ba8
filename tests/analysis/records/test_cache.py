import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.records import cache
from analysis.records.collect import collect


@pytest.fixture
def study(runs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A study that is large enough for a cache, last changed long ago."""
    monkeypatch.setattr(cache, "LEAST_ROWS", 3)
    for k in range(4):
        runs.done(f"points/p{k}/a1", vpt=None)
    runs.unfinished("points/p4/a1", "running")
    age(runs.root)
    return runs


def age(root: Path) -> None:
    """Make every directory look older than the time within which a change may go unseen."""
    for directory, _, _ in os.walk(root):
        os.utime(directory, (1.6e9, 1.6e9))


def frame(runs: Any) -> pd.DataFrame:
    return collect([runs.root]).frame


def reads(runs: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many records are read by the next collection."""
    from analysis.records import collect as module

    count = 0
    original = module.read_run

    def counting(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_run", counting)
        frame(runs)
    return count


def test_the_cache_gives_the_same_frame_and_reads_only_what_is_open(
    study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = collect([study.root])
    assert reads(study, monkeypatch) == 1
    second = collect([study.root])
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert dict(second.configs) == dict(first.configs)
    assert (second.units, second.better) == (first.units, first.better)


def test_a_new_run_a_finished_run_and_a_deleted_run_are_seen(study: Any) -> None:
    frame(study)
    study.done("points/p9/a1", vpt=None)
    for file in (study.root / "points/p0/a1").iterdir():
        if file.is_file():
            file.unlink()
    (study.root / "points/p0/a1").rmdir()
    states = frame(study).set_index("point")["state"]
    assert "p0" not in states
    assert states["p9"] == "done"
    assert states["p4"] == "running"


def test_a_record_that_was_replaced_is_read_again(study: Any) -> None:
    frame(study)
    path = study.root / "points/p1/a1/result.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "status": "diverged", "reason": "loss is NaN"}))
    row = frame(study).set_index("point").loc["p1"]
    assert (row["state"], row["reason"]) == ("diverged", "loss is NaN")


def test_a_running_point_is_followed(study: Any) -> None:
    frame(study)
    study.unfinished("points/p5/a1", "failed", "x")
    status = study.root / "points/p4/a1/status.json"
    status.write_text(json.dumps({"state": "failed", "step": 3, "num_steps": 9, "reason": "oom"}))
    assert frame(study).set_index("point").loc["p4", "reason"] == "oom (step 3 of 9)"


@pytest.mark.parametrize("damage", ["torn", "foreign", "old", "mixed", "gone"])
def test_a_cache_that_cannot_be_used_is_rebuilt(
    study: Any, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = frame(study)
    folder = cache.location(str(study.root.resolve()))
    rows = folder / "rows.parquet"
    assert rows.exists()
    if damage == "torn":
        rows.write_bytes(rows.read_bytes()[:100])
    elif damage == "foreign":
        pd.DataFrame({"a": [1]}).to_parquet(rows)
    elif damage == "old":
        monkeypatch.setattr(cache, "LAYOUT", 0)
    elif damage == "mixed":
        kept = (folder / "configs.parquet").read_bytes()
        age(study.root)
        study.done("points/p8/a1", vpt=None)
        first = frame(study)
        (folder / "configs.parquet").write_bytes(kept)
    else:
        rows.unlink()
    pd.testing.assert_frame_equal(frame(study), first)


def test_a_cache_that_cannot_be_written_is_no_error(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(frame(study)) == 5


def test_small_studies_leave_no_cache(runs: Any) -> None:
    runs.done("a", vpt=None)
    frame(runs)
    assert not cache.location(str(runs.root.resolve())).exists()
