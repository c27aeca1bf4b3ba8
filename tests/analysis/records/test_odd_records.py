"""Whatever a study holds, the report command ends in a page with a clear statement."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbench.cli import main

CASES: dict[str, tuple[Callable[[Any], Any], int, str]] = {
    "corrupt": (lambda runs: runs.raw("a", "{half"), 3, "corrupt or partly written"),
    "partial": (lambda runs: runs.unfinished("a", "running"), 3, "step 17 of 200"),
    "foreign": (lambda runs: runs.raw("a", '{"hello": 1}'), 3, "hpcbench did not write it"),
    "newer": (lambda runs: runs.raw("a", '{"schema": 2}'), 3, "is newer than 1"),
    "zero points": (lambda runs: runs.study(points=[]), 3, "nothing to conclude"),
    "all failed": (lambda runs: runs.unfinished("a", "failed", "oom"), 3, "nothing to conclude"),
    "one point": (lambda runs: runs.done("a", vpt=None), 0, "no other number of ranks was"),
    "NaN metrics": (
        lambda runs: runs.done(
            "a", vpt=None, step_seconds=[float("nan")] * 9,
            metrics=dict.fromkeys(("vpt_mean", "step_seconds"), (None, "s")),
        ), 0, "neither forecasts nor step times",
    ),
    "identical times": (
        lambda runs: [runs.done(f"r{p}", p, step_seconds=[0.1] * 9, vpt=None) for p in (1, 2)],
        0, "speed-up of 1.00 (1.00 to 1.00)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_page_says_what_was_found(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    write, code, statement = CASES[case]
    write(runs)
    assert main(["report", str(runs.root), "--out", str(tmp_path / "out")]) == code
    assert statement in html.unescape((tmp_path / "out/index.html").read_text())
    assert "Traceback" not in capsys.readouterr().err
