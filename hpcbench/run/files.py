"""Files that are replaced whole: written under a passing name, then renamed.

A reader sees the old content or the new one, never half of it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpcbench.errors import InputError


@contextmanager
def replaced(path: Path, passing: Path | None = None, synced: bool = False) -> Iterator[Path]:
    """Lend a passing name; the file that is there at the end replaces ``path``.

    For writers that want a name, such as HDF5 and pictures. Where they fail, ``path`` stays as it
    was.

    Parameters
    ----------
    path
        The file to replace.
    passing
        The name to lend, in the same folder; by default ``.NAME.partial``.
    synced
        Wait until the content is on the disk before it gets its name.
    """
    passing = passing or path.with_name(f".{path.name}.partial")
    yield passing
    if synced:
        sync(passing)
    passing.replace(path)


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Replace a text file."""
    with replaced(path) as passing:
        passing.write_text(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file's bytes; they are on the disk, and have their name, when this returns."""
    with replaced(path, synced=True) as passing:
        passing.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file, as :func:`write_bytes` does; numbers that are not finite become null."""
    text = json.dumps(_finite(value), indent=1, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def read_json(path: Path) -> Any:
    """Return a JSON file's content; raise :class:`InputError` when it cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
