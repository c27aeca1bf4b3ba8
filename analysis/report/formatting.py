"""Tables as files (CSV, Markdown, LaTeX) and as rows of short text for the page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Column:
    """A column of a reader's table: heading and the text it makes of a row of numbers."""

    heading: str
    text: Callable[[Row], str]
    is_number: bool = True


@dataclass(frozen=True)
class ReaderTable:
    """A table made for reading: headings, rows of text, which columns hold numbers."""

    headings: list[str]
    rows: list[list[str]]
    are_numbers: list[bool]

    def without_constants(self) -> tuple["ReaderTable", str]:
        """Return the table without text columns that say the same in every row, and those.

        The second value is empty or such as ``"method tbptt, backend horovod"``.
        """
        constant = [
            len(self.rows) > 1 and not is_number and len({row[i] for row in self.rows}) == 1
            for i, is_number in enumerate(self.are_numbers)
        ]
        kept = [i for i, drop in enumerate(constant) if not drop]
        said = [f"{self.headings[i]} {self.rows[0][i]}" for i, drop in enumerate(constant) if drop]
        narrow = ReaderTable(
            [self.headings[i] for i in kept],
            [[row[i] for i in kept] for row in self.rows],
            [self.are_numbers[i] for i in kept],
        )
        return narrow, ", ".join(said)


def number_text(value: Any, digits: int = 3) -> str:
    """Return a number with so many significant digits, ``"–"`` when there is none."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return "–" if not isinstance(value, str) else value
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        decimals = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:.{decimals}f}"
    return f"{value:.{digits - 1}e}"


def interval_text(row: Row, name: str, value_name: str = "", digits: int = 3) -> str:
    """Return ``"5.70 (5.21 to 6.18)"`` from the columns NAME, NAME_low and NAME_high.

    ``value_name`` is the column of the value where it is not NAME itself.
    """
    value = number_text(row[value_name or name], digits)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if not (math.isfinite(low) and math.isfinite(high)):
        return value
    return f"{value} ({number_text(low, digits)} to {number_text(high, digits)})"


def plain(name: str, heading: str | None = None) -> Column:
    """Return a column that shows text as it is."""
    return Column(
        heading or name.replace("_", " "),
        lambda row: "–" if missing(row[name]) else str(row[name]),
        is_number=False,
    )


def numeric(name: str, heading: str | None = None, digits: int = 3) -> Column:
    """Return a column that shows a number."""
    return Column(heading or name.replace("_", " "), lambda row: number_text(row[name], digits))


def whole(name: str, heading: str | None = None) -> Column:
    """Return a column that shows a whole number."""
    return Column(
        heading or name.replace("_", " "),
        lambda row: "–" if missing(row[name]) else f"{row[name]:.0f}",
    )


def ranged(name: str, heading: str, value_name: str = "") -> Column:
    """Return a column that shows a value with its interval."""
    return Column(heading, lambda row: interval_text(row, name, value_name))


def missing(value: Any) -> bool:
    """Return whether a cell holds nothing."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def reader_table(frame: pd.DataFrame, columns: Sequence[Column]) -> ReaderTable:
    """Return a frame as text; a column that would be empty in every row is left out."""
    records = frame.to_dict("records")
    cells = [[column.text(record) for record in records] for column in columns]
    kept = [i for i, texts in enumerate(cells) if any(text != "–" for text in texts)]
    return ReaderTable(
        headings=[columns[i].heading for i in kept],
        rows=[[cells[i][r] for i in kept] for r in range(len(records))],
        are_numbers=[columns[i].is_number for i in kept],
    )


def write_table(
    frame: pd.DataFrame, columns: Sequence[Column], base: Path, shown: pd.DataFrame | None = None
) -> list[Path]:
    """Write BASE.csv with everything, BASE.md and BASE.tex with the reader's columns.

    ``shown`` holds the rows for the reader where these are not all.
    """
    base.parent.mkdir(parents=True, exist_ok=True)
    csv, markdown, latex = (base.with_suffix(ending) for ending in (".csv", ".md", ".tex"))
    frame.to_csv(csv, index=False)
    table = reader_table(frame if shown is None else shown, columns)
    markdown.write_text(render(table, "pipe") + "\n")
    latex.write_text(render(table, "latex_booktabs") + "\n")
    return [csv, markdown, latex]


def render(table: ReaderTable, style: str) -> str:
    """Return a table as text in one of tabulate's formats."""
    if not table.rows:
        return "no rows"
    rows = table.rows
    if style == "pipe":
        rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    alignment = ["right" if is_number else "left" for is_number in table.are_numbers]
    return tabulate(
        rows, headers=table.headings, tablefmt=style, colalign=alignment, disable_numparse=True
    )
