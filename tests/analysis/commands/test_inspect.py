"""``hpcbench inspect``: summary, rules, checksums and the picture."""

import json
import os
from pathlib import Path

import h5py
import pytest

from hpcbench.cli import main
from hpcbench.data.dataset import open_dataset
from hpcbench.data.writer import write_example

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example.h5"
    write_example(path)
    return path


def test_summary_and_picture(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(example)]) == 0
    output = capsys.readouterr()
    assert "rotation" in output.out
    assert "trajectories.validation" in output.out
    assert f"{example}: every rule holds" in output.err
    assert "block" not in output.err
    assert example.with_suffix(".png").read_bytes().startswith(PNG)


def test_json_document(example: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "elsewhere.png"
    assert main(["inspect", str(example), "--verify", "--json", "--picture", str(picture)]) == 0
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert document["verified"]
    assert document["problems"] == []
    assert document["picture"] == str(picture)
    assert picture.read_bytes().startswith(PNG)
    assert not example.with_suffix(".png").exists()
    values = {result["name"]: result["value"] for result in document["results"]}
    with open_dataset(example) as dataset:
        assert values["state_sha256"] == dataset.state_sha256()
        assert document["content_hash"] == dataset.content_hash
    assert values["lyapunov_exponent"] == 0.0
    assert "every rule holds, every checksum too" in output.err


def test_a_broken_rule_fails_the_gate(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(example, "r+") as file:
        file["std"][0] = -1.0
        file["time"][1] = 7.0
    assert main(["inspect", str(example), "--json"]) == 1
    output = capsys.readouterr()
    assert len(json.loads(output.out)["problems"]) == 2
    assert f"hpcbench: {example}: /time must be 0, 0.1" in output.err
    assert f"{example}: /std must not be negative" in output.err


def test_a_flipped_byte_fails_the_gate_when_verifying(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_dataset(example) as dataset:
        position = dataset.extents[0].offset + 70  # in trajectory 1
    with example.open("r+b") as file:
        file.seek(position)
        file.write(b"\x55")
    assert main(["inspect", str(example)]) == 0
    assert main(["inspect", str(example), "--verify"]) == 1
    error = capsys.readouterr().err
    assert "block 0 of trajectory 1 (samples 0 to 3) does not match its checksum" in error


def test_wrong_files_and_options(
    example: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments, expected in (
        ([str(tmp_path / "exampel.h5")], 'no such file (did you mean "example.h5"?)'),
        ([str(tmp_path)], "is a folder"),
        ([str(example), "--picture", str(tmp_path / "no" / "x.png")], "give another --picture"),
        ([str(example), "--verfy"], "unrecognized arguments: --verfy"),
        ([str(example), "--train.window", "3"], "--train.window: no such option"),
        ([], "the following arguments are required: DATA.h5"),
    ):
        assert main(["inspect", *arguments]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("hpcbench: ") == 1


def test_no_place_for_the_picture_is_no_failure(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.with_suffix(".png").mkdir()
    assert main(["inspect", str(example)]) == 0
    error = capsys.readouterr().err
    assert f"cannot be written ({os.strerror(21)}); --picture FILE.png" in error
