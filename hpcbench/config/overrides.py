"""Single fields laid over a configuration file: from the command line and from Python."""

import tomllib
from collections.abc import Mapping
from typing import Any

from hpcbench.errors import InputError


def parse_overrides(options: list[str]) -> dict[str, Any]:
    """Turn ``["--train.window", "64", "--seed=2"]`` into nested data.

    A value is read as a TOML value (number, boolean, list, quoted string); anything else is
    taken as a plain string.
    """
    data: dict[str, Any] = {}
    position = 0
    while position < len(options):
        option = options[position]
        position += 1
        if not option.startswith("--") or len(option) == 2:
            raise InputError(f'"{option}": expected an option such as --train.window 64')
        name, equals, text = option[2:].partition("=")
        if not equals:
            if position >= len(options):
                raise InputError(f"--{name}: needs a value, for example --{name} 64")
            text = options[position]
            position += 1
        *groups, last = name.split(".")
        target = data
        for group in groups:
            target = target.setdefault(group, {})
            if not isinstance(target, dict):
                raise InputError(f"--{name}: {group} was already given a value of its own")
        target[last] = _toml_value(text)
    return data


def _toml_value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return value["value"] if list(value) == ["value"] else text


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on top, table by table."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides from Python as nested data: ``{"train.window": 64}``, or tables.

    Raises :class:`InputError` where a field is given a value and a field below it too.
    """
    data: dict[str, Any] = {}
    for name, value in overrides.items():
        field: Any = nested(value) if isinstance(value, Mapping) else value
        for part in reversed(str(name).split(".")):
            field = {part: field}
        _refuse_two_values(data, field, "")
        data = merge(data, field)
    return data


def _refuse_two_values(data: Mapping[str, Any], over: Mapping[str, Any], place: str) -> None:
    for key, value in over.items():
        if key not in data:
            continue
        name = f"{place}{key}"
        if not (isinstance(value, Mapping) and isinstance(data[key], Mapping)):
            raise InputError(f"overrides: {name}: given twice; give {name} or fields below it")
        _refuse_two_values(data[key], value, f"{name}.")
