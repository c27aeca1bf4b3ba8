"""Run folders: claimed by one configuration, never half written."""

import json
from pathlib import Path

import pytest

from hpcbench.errors import InputError
from hpcbench.run.files import read_json, write_json
from hpcbench.run.record import Metric, RunDirectory

RUN = {"config": {"seed": 1, "train": {"window": 8}}, "dataset": {"path": "a.h5"}}


def test_a_new_folder_is_claimed_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one"
    RunDirectory(path, RUN).open(resume=False)
    RunDirectory(path, RUN).open(resume=True)
    with pytest.raises(InputError, match="--resume"):
        RunDirectory(path, RUN).open(resume=False)


def test_another_configuration_is_refused_naming_what_differs(tmp_path: Path) -> None:
    RunDirectory(tmp_path, RUN).open(resume=False)
    other = {**RUN, "config": {"seed": 1, "train": {"window": 16}}}
    with pytest.raises(InputError, match=r"differs in: config\.train\.window"):
        RunDirectory(tmp_path, other).open(resume=True)
    assert read_json(tmp_path / "run.json")["config"]["train"]["window"] == 8


def test_another_schema_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"schema": 2})
    with pytest.raises(InputError, match="schema 2; this release reads 1"):
        RunDirectory(tmp_path, RUN).open(resume=True)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        RunDirectory(tmp_path, RUN).open(resume=False)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunDirectory(tmp_path / "file" / "run", RUN).open(resume=False)


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1'])
def test_half_a_run_file_is_no_traceback(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json: cannot be read as JSON"):
        RunDirectory(tmp_path, RUN).open(resume=True)


def test_the_result_is_the_commit_mark(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, RUN)
    directory.open(resume=False)
    directory.status("running", 3, 10)
    assert not directory.finished
    metrics = [Metric("loss", float("nan"), "", "lower", 2), Metric("steps", float("inf"))]
    directory.result("train", "done", metrics, ranks=2)
    assert directory.finished
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["metrics"][0] == {
        "name": "loss",
        "value": None,
        "unit": "",
        "better": "lower",
        "n": 2,
    }
    assert (result["ranks"], result["kind"], result["status"]) == (2, "train", "done")
    assert not list(tmp_path.glob(".*.partial"))
    assert read_json(tmp_path / "status.json")["step"] == 3
