"""Expressions of a study compute, and refuse whatever is no expression of ours."""

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbench.errors import InputError
from jobs.study.expressions import Expression

VALUES = {"ranks": 4, "train.window": 32, "train.backend": "ddp", "model.layers": None}


def evaluate(text: str, values: dict[str, Any] = VALUES) -> Any:
    return Expression(text, "study.toml: axes.where", lambda name: name)(values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ranks <= 64", True),
        ("train.backend == 'none' and ranks > 1", False),
        ("train.backend in ['ddp', 'mpi'] or nothing", True),
        ("not ranks != 4", True),
        ("1 < ranks < 4", False),
        ("64 * ranks", 256),
        ("train.window / ranks", 8),
        ("train.window / (ranks - 1)", 32 / 3),
        ("-ranks // 3 + 7 % 4", 1),
        ("'a' not in ['b']", True),
    ],
)
def test_values(text: str, value: Any) -> None:
    result = evaluate(text, {**VALUES, "nothing": False})
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/hpcbench-was-here')",
        "ranks.__class__()",
        "(1).real",
        "[x for x in [1]]",
        "lambda: 1",
        "ranks if ranks else 1",
        "f'{ranks}'",
        "ranks[0]",
        "{1: 2}",
        "2 ** 99999999",
        "1 << 99999999",
        "ranks = 3",
        "a; b",
        "",
        "(" * 200,
        "1 is 1",
        "b'bytes'",
        "x := 3",
        "1" * 600,
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"study\.toml: axes\.where"):
        evaluate(text)


@pytest.mark.parametrize("text", ["ranks / 0", "ranks < 'four'", "'a' * 9", "model.layers + 1"])
def test_what_has_no_value(text: str) -> None:
    with pytest.raises(InputError, match=r"axes\.where"):
        evaluate(text)


@given(st.text(max_size=60))
def test_any_text_gives_a_value_or_an_input_error(text: str) -> None:
    try:
        evaluate(text, dict.fromkeys("abcxyz", 1))
    except (InputError, KeyError):
        return


@given(
    st.integers(-50, 50), st.integers(1, 50), st.sampled_from(["+", "-", "*", "//", "%", "<", "=="])
)
def test_agrees_with_python(left: int, right: int, sign: str) -> None:
    functions = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv}
    functions |= {"%": operator.mod, "<": operator.lt, "==": operator.eq}
    assert evaluate(f"a {sign} b", {"a": left, "b": right}) == functions[sign](left, right)
