"""Where runs ran and with what, summed up over runs: what they share and where they differ."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records.documents import read_document

PER_RANK = {"rank", "binding"}
"""Facts that differ between the ranks of every run and so tell nothing about a run."""

MAX_VALUES = 4
"""Different values of one fact that are listed before they are only counted."""


def facts(run: Path | str) -> dict[str, str]:
    """Return the provenance of a run as dotted name → text; ranks that differ are listed.

    Empty when the run has no provenance or it cannot be read: the record itself says more about
    such a run.
    """
    document, problem = read_document(Path(run) / "provenance.json")
    if problem:
        return {}
    found: dict[str, dict[str, None]] = {}
    ranks = document.get("ranks")
    for rank in ranks if isinstance(ranks, list) else []:
        for name, value in leaves(rank):
            if name not in PER_RANK:
                found.setdefault(name, {})[value] = None
    for name, value in leaves({k: v for k, v in document.items() if k != "ranks"}):
        found.setdefault(name, {})[value] = None
    return {name: shorten(list(values)) for name, values in found.items()}


def place(run: Path | str) -> tuple[int, str]:
    """Return the number of nodes a run used and its allocation (its Slurm job, else itself)."""
    document, _ = read_document(Path(run) / "provenance.json")
    ranks = document.get("ranks")
    known = [rank for rank in ranks if isinstance(rank, Mapping)] if isinstance(ranks, list) else []
    hosts = {str(rank.get("host")) for rank in known}
    slurm = known[0].get("slurm") if known else None
    job = slurm.get("SLURM_JOB_ID") if isinstance(slurm, Mapping) else None
    job = job or read_document(Path(run) / "attempt.json")[0].get("job_id")
    return max(len(hosts), 1), str(job or run)


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``("versions.torch", "2.13.0")`` for every leaf that holds something."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if prefix or name not in PER_RANK:
                yield from leaves(item, f"{prefix}.{name}" if prefix else str(name))
    elif value is not None and value != "":
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def shorten(values: list[str]) -> str:
    """Return different values side by side, or how many there are."""
    if len(values) > MAX_VALUES:
        return f"{len(values)} different values, such as {values[0]}"
    return "; ".join(values)


def summary(runs: Iterable[Path | str]) -> pd.DataFrame:
    """Return a row per fact: ``fact``, ``value`` and the number of ``runs`` it was the same in."""
    values: dict[str, dict[str, int]] = {}
    for run in runs:
        for name, value in facts(run).items():
            counts = values.setdefault(name, {})
            counts[value] = counts.get(value, 0) + 1
    rows = [
        {
            "fact": name,
            "value": shorten(
                [text if len(counts) == 1 else f"{text} ({n} runs)" for text, n in counts.items()]
            ),
            "runs": sum(counts.values()),
        }
        for name, counts in values.items()
        if not name.startswith("times.")
    ]
    return pd.DataFrame(rows, columns=["fact", "value", "runs"])
