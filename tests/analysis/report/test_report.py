import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.report.report import write_report
from hpcbench.cli import main
from hpcbench.errors import InputError


class Page(HTMLParser):
    """Collects what a page loads, its images and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        self.links += [str(values[name]) for name in ("src", "href") if values.get(name)]


def smoke_like(runs: Any) -> None:
    ks = {**runs.dataset, "system": "kuramoto_sivashinsky", "content": "ks"}
    for ranks in (1, 2):
        runs.done(f"lorenz96/ranks{ranks}", ranks, vpt=5.0, loss_noise=1e-7)
        runs.done(f"ks/ranks{ranks}", ranks, vpt=1.5, dataset=ks)


def test_the_report_of_a_pipeline_run(runs: Any, tmp_path: Path) -> None:
    smoke_like(runs)
    report = write_report([runs.root], tmp_path / "out", "Smoke", "Does the pipeline work?")
    assert report.page == tmp_path / "out" / "index.html"
    assert all(file.exists() for file in report.files)
    names = {file.name for file in report.files}
    assert {"accuracy.csv", "scaling.csv", "accuracy.md", "accuracy.tex"} <= names
    assert {"space_time_lorenz96.png", "nrmse_lorenz96.png", "loss_lorenz96.png",
            "scaling_curves.png", "scaling_curves.svg", "scaling_curves.csv"} <= names  # fmt: skip
    assert len(pd.read_csv(tmp_path / "out/accuracy.csv")) == 4
    assert list(pd.read_csv(tmp_path / "out/scaling.csv")["ranks"]) == [1, 2, 1, 2]
    assert report.num_done == report.num_records == 4
    assert any("forecasts correctly for 5.00 Lyapunov times" in text for text in report.answer)


def test_the_page_needs_nothing_but_itself(runs: Any) -> None:
    smoke_like(runs)
    text = write_report([runs.root]).page.read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert page.images
    assert all(len(str(image["alt"])) > 20 for image in page.images)
    assert all(link.startswith("data:") for link in page.links)
    assert not re.search(r"url\(|@import|https?://", text.split("<body>")[0])
    assert text.index('<h2 id="answer">') < text.index("<table>")


def test_title_and_question_come_from_the_study(runs: Any) -> None:
    runs.study(study={"name": "l96-strong", "question": "How far <does> it go?"})
    runs.done("points/a/a1")
    text = write_report([runs.root]).page.read_text()
    assert "<h1>l96-strong</h1>" in text
    assert "How far &lt;does&gt; it go?" in text


def test_nasty_names_are_escaped(runs: Any) -> None:
    name = "<script>alert(1)</script>"
    runs.done("a", dataset={**runs.dataset, "system": name, "parameters": {name: name}})
    runs.unfinished("b", "failed", name)
    text = write_report([runs.root], title=name, question="'; rm -rf $(x)").page.read_text()
    assert "<script" not in text


def test_nothing_found_is_said_and_exits_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 3
    assert "nothing to conclude" in (tmp_path / "out/index.html").read_text()
    assert "Traceback" not in capsys.readouterr().err


def test_all_failed_is_said(runs: Any) -> None:
    runs.unfinished("a", "failed", "out of memory")
    runs.raw("b", "{")
    report = write_report([runs.root])
    text = report.page.read_text()
    assert "What did not finish" in text
    assert "out of memory (step 17 of 200)" in text
    assert "<img" not in text
    assert report.num_done == 0


def test_one_run_with_nan_metrics(runs: Any) -> None:
    path = runs.done("a", metrics={"vpt_mean": (None, ""), "final_loss": (None, "1")})
    (path / "forecast.h5").unlink()
    report = write_report([runs.root])
    assert "done" in report.page.read_text()


def test_identical_times_and_one_step(runs: Any) -> None:
    runs.done("a", 1, step_seconds=[0.1])
    runs.done("b", 2, step_seconds=[0.1] * 7)
    table = write_report([runs.root]).scaling
    assert list(table["speed_up"]) == [1.0, 1.0]
    assert np.isfinite(table["efficiency"]).all()


def test_the_command_prints_one_json_document(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.done("a")
    assert main(["report", "--json", str(runs.root)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {result["name"]: result["value"] for result in document["results"]}["done"] == 1
    assert document["answer"]


def test_a_missing_path_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "no such directory" in capsys.readouterr().err


def test_an_unwritable_folder_is_one_message(runs: Any, tmp_path: Path) -> None:
    runs.done("a")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report([runs.root], tmp_path / "file" / "out")


def test_the_report_folder_is_not_read_as_a_run(runs: Any) -> None:
    runs.done("a")
    assert write_report([runs.root]).num_records == 1
    assert write_report([runs.root]).num_records == 1
