"""Plain data as TOML text: what a configuration file that we write looks like."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, Any]) -> str:
    """Return a table as a TOML document; ``None`` values are left out, as TOML has no null."""
    lines: list[str] = []
    _table(table, (), lines)
    return "\n".join(lines) + "\n"


def value_text(value: Any) -> str:
    """Return one value as TOML writes it.

    JSON's string escapes are those of TOML's basic strings, apart from the delete character.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
        case float():
            text = repr(value)
            return text if set(text) & set(".e") else f"{text}.0"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return "[" + ", ".join(value_text(item) for item in value) + "]"
        case dict():
            inner = (f"{_key(key)} = {value_text(item)}" for key, item in value.items())
            return "{" + ", ".join(inner) + "}"
    raise TypeError(f"{value!r} has no TOML form")


def _table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    if path:
        lines.append(f"[{'.'.join(_key(part) for part in path)}]")
    known = {key: value for key, value in table.items() if value is not None}
    lines += [
        f"{_key(key)} = {value_text(value)}"
        for key, value in known.items()
        if not isinstance(value, dict)
    ]
    for key, value in known.items():
        if isinstance(value, dict):
            _table(value, (*path, key), lines)


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else value_text(key)
