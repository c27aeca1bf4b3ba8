"""From [dataset] tables to planned datasets: found again by their content."""

import os
from pathlib import Path

from hpcbench.config.toml_text import value_text
from hpcbench.config.tree import Table, content_hash
from hpcbench.errors import InputError
from hpcbench.run.source_version import ROOT, source_version
from jobs.study.dataset import PlannedDataset
from sims.generation.spec import read_spec


class DatasetPlanner:
    """Turns [dataset] tables into plans, each distinct one once.

    Parameters
    ----------
    study_file
        The study; paths are looked for beside it, in the current folder and in the checkout.
    """

    def __init__(self, study_file: Path) -> None:
        self.study_file = study_file
        self._known: dict[str, PlannedDataset] = {}

    def plan(self, table: Table) -> PlannedDataset:
        """Return the plan of one [dataset] table."""
        name = content_hash(table)
        if name not in self._known:
            self._known[name] = self._plan(table)
        return self._known[name]

    def _plan(self, table: Table) -> PlannedDataset:
        place = f"{self.study_file}: dataset"
        given = [name for name in ("spec", "path") if table.get(name) is not None]
        if len(given) != 1:
            raise InputError(f"{place}: give exactly one of spec and path, given {given or 'none'}")
        source = table[given[0]]
        if not isinstance(source, str):
            raise InputError(f"{place}.{given[0]}: given {source!r}, expected the path of a file")
        file = self._find(source, f"{place}.{given[0]}")
        further = {key: value for key, value in table.items() if key not in ("spec", "path")}
        if given == ["path"]:
            if further:
                raise InputError(
                    f"{place}: {', '.join(further)}: a file cannot be changed; give spec instead"
                )
            about = file.stat()
            key = content_hash([str(file), about.st_size, about.st_mtime_ns])
            return PlannedDataset(key, "", {}, str(file))
        content = read_spec(file, _options(further)).model_dump(mode="json")
        key = content_hash([content, source_version(("sims",))])
        return PlannedDataset(key, str(file), content, "")

    def _find(self, name: str, place: str) -> Path:
        if "\0" in name or "\n" in name:
            raise InputError(f"{place}: a path has no line breaks, given {name!r}")
        candidates = [folder / name for folder in (self.study_file.parent, Path.cwd(), ROOT)]
        for candidate in candidates:
            if candidate.is_file() and os.access(candidate, os.R_OK):
                return candidate.resolve()
        looked = ", ".join(str(candidate) for candidate in candidates)
        raise InputError(f"{place}: no readable file {name!r}; looked for {looked}")


def _options(table: Table, prefix: str = "") -> list[str]:
    """Return a table as ``--a.b=value`` words with values as TOML writes them."""
    words: list[str] = []
    for key, value in table.items():
        if isinstance(value, dict):
            words += _options(value, f"{prefix}{key}.")
        else:
            words.append(f"--{prefix}{key}={value_text(value)}")
    return words
