"""The names a study may use: every field of a training run, in full or by its last word."""

from collections.abc import Iterable
from functools import cache
from typing import Any

# Planning needs the configuration classes, not an MPI job: importing mpi4py must not start one.
import mpi4py

mpi4py.rc.initialize = False

from hpcbench.config.tree import Config, Table, content_hash  # noqa: E402, Table
from hpcbench.errors import InputError, nearest  # noqa: E402
from hpcbench.training.run_config import RunConfig  # noqa: E402

SECTIONS = ("model", "embedding", "train", "forecast")
STUDY_NAMES = ("ranks", "repeat", "seed")
"""Names that belong to a point and to no section."""

OPEN = ("model.options.", "train.options.", "dataset.")
"""Tables whose keys the cell, the method and the system of the dataset define."""


@cache
def defaults() -> Table:
    """Return every field of the sections as ``section.field`` with its default."""
    values: Table = {}
    for section in SECTIONS:
        for name, field in section_class(section).model_fields.items():
            if name == "options" or field.is_required():
                continue
            value = field.get_default(call_default_factory=True)
            if isinstance(value, Config):
                values |= flatten(value.model_dump(mode="json"), f"{section}.{name}.")
            else:
                values[f"{section}.{name}"] = value
    return values


def section_class(section: str) -> type[Config]:
    """Return the configuration class of a section."""
    found = RunConfig.model_fields[section].annotation
    assert isinstance(found, type)
    assert issubclass(found, Config)
    return found


@cache
def short_names() -> dict[str, list[str]]:
    """Return the fields each last word can mean."""
    names: dict[str, list[str]] = {}
    for full in defaults():
        names.setdefault(full.rpartition(".")[2], []).append(full)
    return names


def resolve(name: str, place: str, used: Iterable[str] = ()) -> str:
    """Return the full name of a field; raise :class:`InputError` naming what is near or meant.

    Parameters
    ----------
    name
        As written in the study: ``train.window``, ``window`` or ``ranks``.
    place
        File and field, for the message.
    used
        Full names that the study sets itself, such as ``model.options.heads``.
    """
    if name in STUDY_NAMES or name in defaults() or name in used or name.startswith(OPEN):
        return name
    meant = short_names().get(name, [])
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise InputError(f'{place}: "{name}" may be {" or ".join(meant)}; write it in full')
    valid = [*STUDY_NAMES, *defaults(), *short_names()]
    raise InputError(
        f'{place}: unknown name "{name}"{nearest(name, valid)}; valid: ranks, repeat, seed and the '
        "fields of [model], [embedding], [train], [forecast] and [dataset]"
    )


def flatten(table: Table, prefix: str) -> Table:
    """Return a nested table as dotted names; lists and empty tables are values."""
    flat: Table = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nest(flat: Table, section: str) -> Table:
    """Return one section's dotted names as a nested table."""
    table: Table = {}
    start = f"{section}."
    for name, value in flat.items():
        if name.startswith(start):
            *groups, last = name[len(start) :].split(".")
            target = table
            for group in groups:
                target = target.setdefault(group, {})
            target[last] = value
    return table


def value_key(value: Any) -> str:
    """Return a text that two equal values share, to count distinct ones."""
    return content_hash(value) if isinstance(value, list | dict) else repr(value)
