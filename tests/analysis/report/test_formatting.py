import math
from pathlib import Path

import pandas as pd
import pytest

from analysis.report.formatting import (
    interval_text,
    number_text,
    numeric,
    plain,
    ranged,
    reader_table,
    write_table,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.7021, "5.70"), (0.05123, "0.0512"), (12345.6, "12346"), (1.5e-7, "1.50e-07"), (0.0, "0"),
     (math.nan, "–"), (None, "–"), (math.inf, "–"), (-2.0, "-2.00"), (99.96, "100.0")],
)  # fmt: skip
def test_numbers_keep_three_digits(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_intervals_stand_behind_their_value() -> None:
    assert interval_text({"a": 1.0, "a_low": 0.9, "a_high": 1.1}, "a") == "1.00 (0.900 to 1.10)"
    assert interval_text({"a": 1.0, "a_low": math.nan, "a_high": 1.1}, "a") == "1.00"


def test_three_files_hold_the_same_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"name": ["a|b", "c_d & 5 %"], "x": [1.0, 2.0], "x_low": [0.5, 1], "x_high": [2.0, 3.0],
         "hidden": [1, 2], "nothing": [None, None]}
    )  # fmt: skip
    columns = [plain("name"), ranged("x", "x, s"), plain("nothing")]
    csv, markdown, latex = write_table(frame, columns, tmp_path / "t")
    assert list(pd.read_csv(csv)["hidden"]) == [1, 2]
    assert "a\\|b" in markdown.read_text()
    assert "nothing" not in markdown.read_text()
    assert "c\\_d \\& 5 \\%" in latex.read_text()


def test_a_table_without_rows_says_so(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": []})
    _, markdown, _ = write_table(frame, [numeric("x")], tmp_path / "t")
    assert markdown.read_text() == "no rows\n"


def test_constant_text_columns_move_to_the_caption() -> None:
    frame = pd.DataFrame({"a": ["x", "x"], "b": ["y", "z"], "n": [1.0, 1.0]})
    table = reader_table(frame, [plain("a"), plain("b"), numeric("n")])
    narrow, said = table.without_constants()
    assert narrow.headings == ["b", "n"]
    assert said == "a x"
