"""The search for run directories: those that hold one of :data:`MARKS`."""

import os
from collections.abc import Iterator, Mapping

from analysis.records.cache import CONTAINER, OPEN, Folder, settled_stamp

MARKS = ("result.json", "run.json", "status.json", "attempt.json")
"""A directory that holds one of these is a run directory."""


def walk(
    root: str, known: Mapping[str, Folder], directories: dict[str, Folder]
) -> Iterator[tuple[str, set[str] | None]]:
    """Yield every run directory under ``root`` with its files, or with None if it is as known.

    Below a run directory only ``forecasts/NAME`` is searched: the rest belongs to the run.

    Parameters
    ----------
    known
        Directories as they were when the cache was written.
    directories
        Filled with every directory as it is now, in the order of the search.
    """
    pending = [root]
    while pending:
        directory = pending.pop()
        try:
            changed = os.stat(directory).st_mtime_ns  # noqa: PTH116 (see records.documents)
            before = known.get(directory)
            if before is not None and before.is_as_before(directory, changed):
                folder = before
                if folder.record != CONTAINER:
                    yield directory, None
            else:
                folder, files = look(directory, changed)
                if folder.record != CONTAINER:
                    yield directory, files
        except OSError:
            continue  # a folder without permission holds no run that could be read
        directories[directory] = folder
        if folder.names:
            pending += [f"{directory}/{name}" for name in reversed(folder.names.split("/"))]


def look(directory: str, changed: int) -> tuple[Folder, set[str]]:
    """Return a directory as it is now, and the names of its files that matter."""
    try:  # a run that has ended is known by its result; its other files need not be listed
        record = settled_stamp(directory)
    except FileNotFoundError:
        return look_closely(directory, changed)
    names = "forecasts" if os.path.isdir(f"{directory}/forecasts") else ""  # noqa: PTH112
    return Folder(changed, names, record), {"result.json"}


def look_closely(directory: str, changed: int) -> tuple[Folder, set[str]]:
    """Return a directory without result as it is now, and the names of its files."""
    files: set[str] = set()
    names: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                files.add(entry.name)
            elif entry.name[0] != ".":
                names.append(entry.name)
    if files.isdisjoint(MARKS):
        return Folder(changed, "/".join(sorted(names)), CONTAINER), files
    return Folder(changed, "forecasts" if "forecasts" in names else "", OPEN), files
