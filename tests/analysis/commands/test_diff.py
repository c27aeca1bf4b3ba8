import json
from collections.abc import Callable
from typing import Any

import pytest

from analysis.commands.diff import diff
from analysis.records.collect import collect
from hpcbench.cli import main


def test_settings_and_provenance_that_changed(make_runs: Callable[[str], Any]) -> None:
    a, b = make_runs("a"), make_runs("b")
    a.done("x", 1)
    b.done("x", 2, config=b.config(train__window=32), provenance={"mpi": "Open MPI v4.1.4"})
    table = diff(collect([a.root]), collect([b.root])).set_index("field")
    assert table.loc["config.train.window"].to_list() == ["64", "32"]
    assert table.loc["ranks"].to_list() == ["1", "2"]
    assert table.loc["provenance.mpi"].to_list() == ["Open MPI v5.0.11", "Open MPI v4.1.4"]
    assert "config.train.global_batch" not in table.index
    assert "provenance.host" not in table.index


def test_the_command(make_runs: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_runs("a"), make_runs("b")
    path = a.done("x", 1)
    b.done("x", 1, config=b.config(seed=2))
    assert main(["diff", str(a.root), str(path)]) == 0
    assert "no difference" in capsys.readouterr().out
    assert main(["diff", str(a.root), str(b.root)]) == 0
    assert "config.seed" in capsys.readouterr().out
    assert main(["diff", str(a.root), str(b.root), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["name"], result["before"], result["value"]) == ("config.seed", "1", "2")
