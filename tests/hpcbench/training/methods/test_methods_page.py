"""docs/methods.md names every cell, method and optimiser with every option, and no other."""

import re
from pathlib import Path

import pytest

from hpcbench.models.config import CELLS, cell_class
from hpcbench.models.initialisation import RecurrentOptions
from hpcbench.training.methods.registry import METHODS, method_class
from hpcbench.training.optimizers.registry import OPTIMIZERS, optimizer_options

PAGE = (Path(__file__).parents[4] / "docs" / "methods.md").read_text()
OPTIONS = {
    "model.cell": {name: cell_class(name).Options for name in CELLS},
    "train.method": {name: method_class(name).Options for name in METHODS},
    "train.optimizer": {name: type(optimizer_options(name, {})) for name in OPTIMIZERS},
}
INHERITED = {"fast_onestep": "fast_split", "fast_random": "ridge"}
"""Methods whose row says "as" another one's."""


def table(first: str) -> dict[str, dict[str, str]]:
    """Return the rows of the table whose first column has this title, by their first cell."""
    lines = [
        [cell.strip() for cell in line.strip()[1:-1].split("|")]
        for line in PAGE.splitlines()
        if line.startswith("|")
    ]
    start = next(i for i, cells in enumerate(lines) if cells[0] == f"`{first}`")
    rows: dict[str, dict[str, str]] = {}
    for cells in lines[start + 2 :]:
        if len(cells) < 2 or not re.fullmatch(r"`\w+`", cells[0]):
            break
        rows[cells[0].strip("`")] = dict(zip(lines[start], cells, strict=True))
    return rows


@pytest.mark.parametrize("column", OPTIONS)
def test_the_page_names_what_there_is(column: str) -> None:
    assert list(table(column)) == sorted(OPTIONS[column])


@pytest.mark.parametrize("column", OPTIONS)
def test_the_page_names_every_option(column: str) -> None:
    rows = table(column)
    for name, options in OPTIONS[column].items():
        said = rows[name]["options"]
        named = set(re.findall(r"`(\w+)`", said)) - {"ridge", "fast_split"}
        if re.search(r"\bgates$", said):
            named |= set(RecurrentOptions.model_fields)
        if name in INHERITED:
            named |= set(method_class(INHERITED[name]).Options.model_fields)
        assert named == set(options.model_fields), name
