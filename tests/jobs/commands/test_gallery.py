"""The gallery command: every example, its files and its page; what it refuses."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from hpcbench.cli import main
from hpcbench.errors import HpcbenchError, PartlyDone
from jobs.gallery.examples import EXAMPLES, example
from jobs.gallery.workshop import Workshop


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick gallery with every example."""
    out = tmp_path_factory.mktemp("gallery")
    assert main(["gallery", "--quick", "--out", str(out)]) == 0
    return out


def test_page_shows_every_example(gallery: Path) -> None:
    page = (gallery / "index.html").read_text()
    assert "Tiny sizes" in page
    for name in EXAMPLES:
        assert example(name).TITLE in page
        assert f"hpcbench gallery --only {name} " in page
    images = re.findall(r"<img[^>]*>", page)
    pictures = sorted(gallery.glob("*.png"))
    assert len(images) == len(pictures) >= len(EXAMPLES)
    assert all('src="data:image/png;base64,' in image for image in images)
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "hpcbench train jobs/specs/lorenz63_gallery.toml" in page


def test_every_picture_has_its_numbers(gallery: Path) -> None:
    for picture in gallery.glob("*.png"):
        assert picture.with_suffix(".svg").exists()
        data = pd.read_csv(picture.with_suffix(".csv"))
        assert len(data) > 0
        assert data.notna().to_numpy().any()


def test_second_time_reuses_the_runs_and_draws_the_same(
    gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in gallery.glob("tied.*")}
    words = ["gallery", "--quick", "--only", "tied", "--out", str(gallery), "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "already done" in said.err
    document = json.loads(said.out)
    assert document["results"][1]["name"] == "tied"
    assert "with shared weights" in document["results"][1]["shows"]
    assert {path: path.read_bytes() for path in before} == before


def test_settings_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gallery", "--only", "logistic", "--logistic.num_iterations", "7"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert len(pd.read_csv(tmp_path / "logistic.csv")) == 8
    assert "--logistic.num_iterations=7" in (tmp_path / "index.html").read_text()


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[object]:
    def refuse(*words: str) -> str:
        assert main(["gallery", "--out", str(tmp_path / "out"), *words]) == 2
        return capsys.readouterr().err

    return refuse  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "sinus"], 'did you mean "sine"'),
        (["--sinus.seed", "1"], 'did you mean "sine"'),
        (["--only", "sine", "--recall.seed", "1"], "--only leaves out"),
        (["--only", "sine", "--sine.windows", "5"], 'did you mean "window"'),
        (["--only", "sine", "--sine.window", "1"], "greater than or equal to 2"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_made(
    refused: object, words: list[str], told: str, tmp_path: Path
) -> None:
    assert told in refused(*words)  # type: ignore[operator]
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    words = ["gallery", "--only", "logistic", "--out", str(tmp_path / "file")]
    assert main(words) == 2
    assert "give another --out" in capsys.readouterr().err


def test_stopped_command_says_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path)
    monkeypatch.setattr("jobs.gallery.workshop.main", lambda words: PartlyDone.exit_code)
    with pytest.raises(PartlyDone, match="goes on from here"):
        workshop.simulate("lorenz63")
    monkeypatch.setattr("jobs.gallery.workshop.main", lambda words: 2)
    with pytest.raises(HpcbenchError, match=r"hpcbench simulate sims/specs/lorenz63\.toml"):
        workshop.simulate("lorenz63")
    assert len(workshop.commands) == 1
