import json
from collections.abc import Callable
from typing import Any

import pytest

from analysis.commands.compare import parse_margin
from hpcbench.cli import main
from hpcbench.errors import InputError


def test_the_command_judges_every_pair(
    make_runs: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = make_runs("a"), make_runs("b")
    a.repeated(1.0)
    b.repeated(1.2)
    assert main(["compare", str(a.root), str(b.root), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [result["value"] for result in results] == ["slower", "slower"]
    assert main(["compare", str(b.root), str(a.root)]) == 0
    assert "faster" in capsys.readouterr().out
    assert main(["compare", str(a.root), str(b.root), "--gate", "--margin", "0.05"]) == 1
    assert main(["compare", str(b.root), str(a.root), "--gate"]) == 0


def test_nothing_to_compare_is_wrong_input(
    make_runs: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = make_runs("a"), make_runs("b")
    a.done("a", 1)
    b.done("b", 2)
    b.done("c", 4)
    assert main(["compare", str(a.root), str(b.root)]) == 2
    assert "no finished runs of the same work" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "margin"), [("5%", 0.05), ("0.1", 0.1), ("2.5%", 0.025)])
def test_margins(text: str, margin: float) -> None:
    assert parse_margin(text) == pytest.approx(margin)


@pytest.mark.parametrize("text", ["", "five", "0", "-1%", "100%", "nan"])
def test_bad_margins(text: str) -> None:
    with pytest.raises(InputError, match="expected a share"):
        parse_margin(text)
