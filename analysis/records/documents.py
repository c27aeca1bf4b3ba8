"""JSON documents of runs, read fast; what is wrong with one is said and never raised."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from hpcbench.run.record import SCHEMA

ONE_READ = 1 << 18
"""Bytes that hold most records whole."""


def read_document(path: Path | str) -> tuple[dict[str, Any], str]:
    """Return a JSON object and ``""``, or ``{}`` and the reason why it could not be read."""
    try:
        # The plain calls of the system: a hundred thousand files through Path take seconds.
        handle = os.open(path, os.O_RDONLY)
        try:
            content = os.read(handle, ONE_READ)
            while len(content) % ONE_READ == 0 and (more := os.read(handle, ONE_READ)):
                content += more
        finally:
            os.close(handle)
        document = orjson.loads(content)
    except OSError as error:
        return {}, f"{Path(path).name}: cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return {}, f"{Path(path).name}: corrupt or partly written: {error}"
    if not isinstance(document, dict):
        found = type(document).__name__
        return {}, f"{Path(path).name}: foreign: expected a JSON object, found {found}"
    return document, ""


def schema_problem(name: str, document: Mapping[str, Any]) -> str:
    """Return what is wrong with the schema of a record, or ``""``."""
    schema = document.get("schema")
    if schema is None:
        return f"{name}: foreign: it has no schema number, so hpcbench did not write it"
    if isinstance(schema, bool) or not isinstance(schema, int):
        return f"{name}: schema: expected the number {SCHEMA}, found {schema!r}"
    if schema > SCHEMA:
        return f"{name}: schema {schema} is newer than {SCHEMA}, which this hpcbench reads; update"
    if schema < SCHEMA:
        return f"{name}: schema {schema} is older than {SCHEMA}, which this hpcbench reads"
    return ""
