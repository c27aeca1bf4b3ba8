"""Files are replaced whole or not at all."""

import json
from pathlib import Path

import pytest

from hpcbench.errors import InputError
from hpcbench.run.files import read_json, replaced, write_bytes, write_json, write_text


def test_what_is_written_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in ("old", "new"):
        write_text(path, content)
        assert path.read_text() == content
    write_bytes(path, b"\0")
    assert path.read_bytes() == b"\0"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("passing", [None, "file.new"])
def test_a_writer_that_fails_changes_nothing(tmp_path: Path, passing: str | None) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    lent = passing and tmp_path / passing

    def fail() -> None:
        with replaced(path, lent, synced=True) as name:
            assert name.name == (passing or ".file.partial")
            name.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [float("nan"), 1.5, (float("-inf"), None)]})
    text = json.dumps({"x": [None, 1.5, [None, None]]}, indent=1)
    assert (tmp_path / "a.json").read_text() == f"{text}\n"
    assert read_json(tmp_path / "a.json") == {"x": [None, 1.5, [None, None]]}
    with pytest.raises(InputError, match=r"b\.json: cannot be read as JSON"):
        read_json(tmp_path / "b.json")
