"""Records as typed files: what is written is read back, what is wrong is named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from hpcbench.errors import InputError
from hpcbench.run.attempt import AttemptRecord, Cause, read_attempt
from hpcbench.run.document import Document
from hpcbench.run.record import RunResult
from hpcbench.run.status import read_status


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part(Document):
    name: str
    size: float


@dataclass(frozen=True)
class Whole(Document):
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part]
    colour: Colour
    count: int
    note: str | None = None
    anything: Any = None


WHOLE = Whole((Part("a", 1.5),), {"b": Part("b", 2.0)}, Colour.BLUE, 3, anything=[1, {"x": None}])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    WHOLE.write(tmp_path / "whole.json")
    assert Whole.read(tmp_path / "whole.json") == WHOLE
    content = json.loads((tmp_path / "whole.json").read_text())
    assert content["schema"] == 1
    assert content["parts"] == [{"name": "a", "size": 1.5}]
    assert content["colour"] == "blue"


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert Whole.from_json({**WHOLE.as_json(), "later": 1}, "file") == WHOLE


def test_whole_numbers_stand_for_floats() -> None:
    assert Part.from_json({"name": "a", "size": 2}, "file") == Part("a", 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "3"}, "whole.json: count: given '3', expected int"),
        ({"count": True}, "whole.json: count: given True, expected int"),
        ({"note": 1}, "whole.json: note: given 1, expected str"),
        ({"colour": "green"}, "whole.json: colour: given 'green', expected one of 'red', 'blue'"),
        ({"parts": {}}, "whole.json: parts: given {}, expected tuple"),
        ({"parts": [{"name": "a"}]}, "whole.json: parts[0]: size: missing"),
        ({"by_name": {"b": 1}}, "whole.json: by_name.b: given 1, expected Part"),
        ({"schema": 2}, "whole.json: schema 2; this release reads 1"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.json"
    path.write_text(json.dumps({**WHOLE.as_json(), **change}))
    with pytest.raises(InputError) as caught:
        Whole.read(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"schema": 1}'])
def test_other_files_are_no_records(text: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"whole\.json"):
        Whole.read(path)


FIRST_RELEASE = {
    "schema": 1, "point": "p", "attempt": "a1", "state": "failed",
    "reason": "wrong input: hpcbench: train.window: too long", "host": "n1", "pid": 7, "ranks": 2,
    "site": "slurm", "job_id": "5_2", "restart": 0, "nodes": ["n1"], "continues": None,
    "first_step": 0, "submitted": "", "started": "", "launched": "2026-11-01T00:00:00.000+00:00",
    "updated": "2026-11-01T00:00:01.000+00:00", "exit_code": 2, "last_step": 0,
    "ended": "2026-11-01T00:00:01.000+00:00",
    "times": {"queue": None, "launch": 0.0, "init": 1.5, "run": None},
}  # fmt: skip


def test_an_attempt_of_the_first_release_opens_and_gets_its_cause(tmp_path: Path) -> None:
    (tmp_path / "attempt.json").write_text(json.dumps(FIRST_RELEASE))
    record = read_attempt(tmp_path)
    assert record.cause == Cause.WRONG_INPUT
    assert (record.nodes, record.pid, record.exit_code) == (("n1",), 7, 2)
    assert record.times == FIRST_RELEASE["times"]


def test_the_cause_decides_and_the_wording_does_not(tmp_path: Path) -> None:
    record = AttemptRecord("p", "a1", state="failed", reason="wrong input: no", cause=Cause.HUNG)
    record.write_to(tmp_path)
    assert read_attempt(tmp_path).cause == Cause.HUNG


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 9}', '{"schema": 1, "state": 3}'])
def test_a_damaged_attempt_is_failed_unless_the_run_left_its_result(
    text: str, tmp_path: Path
) -> None:
    folder = tmp_path / "points" / "p" / "a3"
    folder.mkdir(parents=True)
    assert read_attempt(folder) == AttemptRecord("p", "a3")  # not written yet
    (folder / "attempt.json").write_text(text)
    record = read_attempt(folder)
    assert (record.point, record.attempt, record.state) == ("p", "a3", "failed")
    assert record.cause == Cause.UNREADABLE
    assert "attempt.json" in record.reason
    RunResult("0", {}, {}, "train", "done", ()).write(folder / "result.json")
    assert read_attempt(folder).state == "done"


def test_a_state_that_nobody_writes_is_named(tmp_path: Path) -> None:
    AttemptRecord("p", "a1", state="x").write_to(tmp_path)
    assert "state: given 'x'; valid: running, done" in read_attempt(tmp_path).reason


def test_a_heartbeat(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text("[1]")
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text('{"state": "running", "step": 3, "num_steps": 4}')
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.step, status.is_training) == ("running", 3, True)
