"""A specification as Python gives one: the path of a TOML file, or the same as a dict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcbench.config.overrides import merge, nested
from hpcbench.config.tree import read_toml
from hpcbench.errors import InputError

Specification = Path | str | Mapping[str, Any]


def read_data(
    spec: Specification, overrides: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """Return a specification as plain data, and what messages call it.

    ``overrides`` are laid over it, by dotted name or as tables.
    """
    if isinstance(spec, Mapping):
        data, source = dict(spec), "the given specification"
    else:
        data, source = read_toml(spec), str(spec)
    return merge(data, nested(overrides or {})), source


def name_of(spec: Specification) -> str:
    """Return the name of a specification's file, which what is made of it is called after.

    Raises :class:`InputError` for a dict, which has none.
    """
    if isinstance(spec, Mapping):
        raise InputError(
            "out: missing; a specification given as a dict has no file name to take it from; say "
            "with out= where to write"
        )
    return Path(spec).stem


def python_call(function: str, spec: Specification) -> list[str]:
    """Return the call of one of our functions with a specification, for records."""
    shown = "{...}" if isinstance(spec, Mapping) else repr(str(spec))
    return ["python", f"hpcbench.{function}({shown})"]
