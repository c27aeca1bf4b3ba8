"""When the attempts of a study waited, started and ran, from what each left behind."""

import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records import number, read_document

BEFORE_RUN = ("queue", "launch", "init")


def timeline(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row per attempt and phase: run, phase, begin, end (seconds since the first), state.

    A run begins when its ``run.json`` was written and ends at its last heartbeat. The phases
    before it are the durations ``times.PHASE_seconds`` of its provenance, where it has them.
    """
    rows: list[dict[str, Any]] = []
    for record in frame[frame["kind"] == "train"].to_dict("records"):
        path = Path(str(record["path"]))
        span = run_span(path)
        if span is None:
            continue
        begin, end = span
        head = {"run": record["run"], "state": record["state"]}
        rows.append({**head, "phase": "run", "begin": begin, "end": end})
        times = read_document(path / "provenance.json")[0].get("times")
        for phase in reversed(BEFORE_RUN):
            seconds = number(times.get(f"{phase}_seconds")) if isinstance(times, dict) else 0.0
            if seconds > 0:
                rows.append({**head, "phase": phase, "begin": begin - seconds, "end": begin})
                begin -= seconds
    table = pd.DataFrame(rows, columns=["run", "phase", "begin", "end", "state"])
    first = table["begin"].min()
    return table.assign(begin=table["begin"] - first, end=table["end"] - first)


def run_span(path: Path) -> tuple[float, float] | None:
    """Return begin and end of a run as seconds since the epoch, None when they are not known."""
    status, _ = read_document(path / "status.json")
    try:
        end = datetime.datetime.fromisoformat(str(status.get("updated"))).timestamp()
        begin = (path / "run.json").stat().st_mtime
    except (ValueError, OSError):
        return None
    return (begin, max(begin, end))
