"""Documents: records that travel as JSON files, each a frozen dataclass that knows its keys.

A class below :class:`Document` is the one place that knows the keys of its file, their types, the
file's version and how it is written. Keys that a class does not know are passed over, so that
records of a later minor version still open.
"""

import functools
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self

from hpcbench.errors import InputError
from hpcbench.run.files import read_json, write_json


@dataclass(frozen=True)
class Document:
    """A record with a version of its own.

    Attributes
    ----------
    SCHEMA
        Major version of the file; readers refuse any other.
    """

    SCHEMA: ClassVar[int] = 1

    def as_json(self) -> dict[str, Any]:
        """Return the record as it stands in its file."""
        return {"schema": self.SCHEMA, **self.as_row()}

    def as_row(self) -> dict[str, Any]:
        """Return the fields as plain data, without a version: as a part of another record."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}

    def write(self, path: Path) -> None:
        """Replace the file atomically."""
        write_json(path, self.as_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the record in a file.

        Raises
        ------
        InputError
            The file cannot be read, is of another version, lacks a key, or has a value of another
            type.
        """
        content = read_json(path)
        if not isinstance(content, Mapping):
            raise InputError(f"{path}: given {content!r:.80}, expected a table")
        if content.get("schema") != cls.SCHEMA:
            raise InputError(
                f"{path}: schema {content.get('schema')!r:.80}; this release reads {cls.SCHEMA}"
            )
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: Mapping[str, Any], source: str) -> Self:
        """Return the record that a table of a file stands for; ``source`` opens an error."""
        if not isinstance(content, Mapping):
            raise InputError(f"{source}: given {content!r:.80}, expected a table")
        values = {}
        for name, (expected, required) in _keys(cls).items():  # type: ignore[arg-type]  # a class is hashable
            if name in content:
                values[name] = _typed(content[name], expected, f"{source}: {name}")
            elif required:
                raise InputError(f"{source}: {name}: missing")
        return cls(**values)


def plain(value: Any) -> Any:
    """Return a field as JSON holds it: documents as tables, tuples as lists."""
    if isinstance(value, Document):
        return value.as_row()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@functools.cache
def _keys(cls: type[Document]) -> dict[str, tuple[Any, bool]]:
    """Return key → its type, and whether a file must have it."""
    hints = typing.get_type_hints(cls)
    return {
        field.name: (hints[field.name], field.default is field.default_factory)  # both MISSING
        for field in fields(cls)
    }


def _typed(value: Any, expected: Any, place: str) -> Any:
    """Return a JSON value as a type asks for it; raise :class:`InputError` where it is another."""
    if expected is Any or type(value) is expected:
        return value
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Literal and value in arguments:
        return value
    if origin in (typing.Union, types.UnionType):
        if type(value) in arguments:
            return value
        expected = next(argument for argument in arguments if argument is not type(None))
        return _typed(value, expected, place)
    if origin is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(
            _typed(item, arguments[0], f"{place}[{number}]") for number, item in enumerate(value)
        )
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {key: _typed(item, arguments[1], f"{place}.{key}") for key, item in value.items()}
    if isinstance(expected, type):
        if issubclass(expected, Document) and isinstance(value, Mapping):
            return expected.from_json(value, place)
        if expected is float and type(value) is int:
            return float(value)
        if issubclass(expected, str) and isinstance(value, str):  # an enumeration of words
            try:
                return expected(value)
            except ValueError:
                pass
    raise InputError(f"{place}: given {value!r:.80}, expected {_name(expected)}")


def _name(expected: Any) -> str:
    if isinstance(expected, type) and issubclass(expected, Enum):
        return f"one of {', '.join(repr(member.value) for member in expected)}"
    return str(expected) if typing.get_args(expected) else expected.__name__
