"""Overrides: from the command line, from Python, and laid over a file."""

from typing import Any

import pytest

from hpcbench.config.overrides import merge, nested, parse_overrides
from hpcbench.errors import InputError


def test_overrides_are_toml_values_or_plain_strings() -> None:
    options = ["--a.b", "64", "--a.c=true", "--d", "horovod", "--e", "[1, 2]", "--f=x=y", "--g", ""]
    expected = {"a": {"b": 64, "c": True}, "d": "horovod", "e": [1, 2], "f": "x=y", "g": ""}
    assert parse_overrides(options) == expected


def test_an_override_cannot_smuggle_in_other_keys() -> None:
    assert parse_overrides(["--a", "1\nb = 2"]) == {"a": "1\nb = 2"}


@pytest.mark.parametrize("options", [["--a.b"], ["a"], ["--"], ["--a", "1", "--a.b", "2"]])
def test_malformed_overrides(options: list[str]) -> None:
    with pytest.raises(InputError):
        parse_overrides(options)


def test_merge_lays_tables_over_tables() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(base, {"a": {"b": 9}, "d": {"e": 1}}) == {"a": {"b": 9, "c": 2}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"a.b": 1, "a.c": 2, "d": 3}, {"a": {"b": 1, "c": 2}, "d": 3}),
        ({"a": {"b.c": 1}, "a.b.d": [2]}, {"a": {"b": {"c": 1, "d": [2]}}}),
        ({}, {}),
    ],
)
def test_overrides_from_python(overrides: dict[str, Any], expected: dict[str, Any]) -> None:
    assert nested(overrides) == expected


@pytest.mark.parametrize(
    "overrides", [{"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}, {"a.b": 1, "a": {"b": 1}}]
)
def test_a_field_is_given_once(overrides: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"overrides: a.*given twice"):
        nested(overrides)
