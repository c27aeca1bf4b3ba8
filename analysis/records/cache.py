"""A rebuildable cache of what was read from many run directories.

It holds the rows of runs that have ended, with the modification times of their directory and
record. A directory that has changed since, and every run still under way, is read again; deleting
the cache costs only time. It lives in ``$XDG_CACHE_HOME/hpcbench`` (default ``~/.cache``), so that
studies of others can be read too.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records.rows import Gathered

LAYOUT = 2
"""Changes whenever rows get other columns or another meaning: an older cache is ignored."""

LEAST_ROWS = 500
"""Runs below which reading them again is as fast as a cache."""

CONTAINER, OPEN = 0, -1
"""Marks of a directory that holds no run, and of a run that has no result yet."""

RACE_NANOSECONDS = 2_000_000_000
"""A directory changed this recently may change again without its time telling."""


class Folder(NamedTuple):
    """A directory: when it changed, the folders to search in it, when its record was written."""

    changed: int
    names: str
    record: int

    def is_as_before(self, directory: str, changed: int) -> bool:
        """Return whether what was read of the directory still holds."""
        if changed != self.changed or self.record == OPEN:
            return False
        return self.record == CONTAINER or settled_stamp(directory) == self.record


class Known(NamedTuple):
    """What a cache knew: the rows of ended runs, and all directories."""

    frame: pd.DataFrame
    folders: Mapping[str, Folder]


NOTHING = Known(pd.DataFrame({"path": pd.Series(dtype="str")}), {})


def settled_stamp(directory: str) -> int:
    """Return when the result of a run was written, in nanoseconds."""
    return os.stat(f"{directory}/result.json").st_mtime_ns  # noqa: PTH116


def location(root: str) -> Path:
    """Return the folder of the cache of a study."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hpcbench" / hashlib.sha256(root.encode()).hexdigest()[:24]


def load(root: str, gathered: Gathered) -> Known:
    """Return what the cache of a study knows; nothing when there is none that can be used."""
    folder = location(root)
    try:
        files = [pq.ParquetFile(folder / f"{name}.parquet") for name in FILES]
        notes = [
            json.loads((file.metadata.metadata or {}).get(b"hpcbench", b"{}")) for file in files
        ]
        same = all(note.get("written") == notes[0].get("written") for note in notes)
        if not same or notes[0].get("layout") != LAYOUT or notes[0].get("root") != root:
            return NOTHING
        rows, places = (file.read() for file in files[:2])
    except (OSError, ValueError, RuntimeError):  # none, torn, or foreign: it is rebuilt
        return NOTHING
    path, *facts = (places.column(name).to_pylist() for name in ("path", *Folder._fields))
    gathered.configs.add_later(lambda: read_configs(files[2]))
    gathered.units.update(notes[0]["units"])
    gathered.better.update(notes[0]["better"])
    return Known(rows.to_pandas(), dict(zip(path, map(Folder, *facts), strict=True)))


def read_configs(file: pq.ParquetFile) -> dict[str, bytes]:
    """Return the JSON text of configurations by hash."""
    table = file.read()
    return dict(zip(*(table.column(name).to_pylist() for name in ("hash", "config")), strict=True))


FILES = ("rows", "directories", "configs")


def store(
    root: str, frame: pd.DataFrame, directories: Mapping[str, Folder], gathered: Gathered
) -> None:
    """Write the cache of a study, if it is worth one and the place can be written."""
    if len(frame) < LEAST_ROWS:
        return
    now = time.time_ns()
    note = {"layout": LAYOUT, "root": root, "written": now, "units": gathered.units,
            "better": gathered.better}  # fmt: skip
    paths, (changed, names, records) = list(directories), zip(*directories.values(), strict=True)
    safe = [when if now - when > RACE_NANOSECONDS else -1 for when in changed]
    rows = frame[
        frame["path"].map({path: folder.record for path, folder in directories.items()}) > 0
    ]
    hashes = rows["config_hash"].dropna().unique().tolist()
    texts = gathered.configs.texts
    tables: list[Any] = [
        pa.Table.from_pandas(rows, preserve_index=False),
        pa.table({"path": paths, "changed": safe, "names": names, "record": records}),
        pa.table({"hash": hashes, "config": [texts[key] for key in hashes]}),
    ]
    folder = location(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in zip(FILES, tables, strict=True):
            metadata = {**(table.schema.metadata or {}), b"hpcbench": json.dumps(note).encode()}
            partial = folder / f".{name}.{os.getpid()}.partial"
            pq.write_table(table.replace_schema_metadata(metadata), partial)
            partial.replace(folder / f"{name}.parquet")
    except OSError:
        return  # a cache that cannot be written is no loss but time
