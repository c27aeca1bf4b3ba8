"""When the attempts of a study waited, started and ran, and where: from what each left behind."""

import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records.descriptions import number
from analysis.records.documents import read_document

PHASES = ("queue", "launch", "init", "run")

ATTEMPT_COLUMNS = (
    "study", "run", "state", "ranks", "site", "job_id", "nodes", *(f"{p}_seconds" for p in PHASES),
    "begin", "end",
)  # fmt: skip


def attempt_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return where and when every attempt ran, with :data:`ATTEMPT_COLUMNS`.

    The phases come from ``attempt.json``, which who started the ranks has written. Without it an
    attempt ran from the time of its ``run.json`` to its last heartbeat. ``begin`` and ``end`` are
    seconds since the epoch.
    """
    rows = []
    for record in frame[frame["kind"] != "forecast"].to_dict("records"):
        path = Path(str(record["path"]))
        attempt = read_document(path / "attempt.json")[0]
        times = attempt.get("times")
        known = times if isinstance(times, dict) else {}
        row: dict[str, Any] = {name: record[name] for name in ("study", "run", "state", "ranks")}
        row |= {name: attempt.get(name) for name in ("site", "job_id")}
        nodes = attempt.get("nodes")
        row["nodes"] = ", ".join(map(str, nodes)) if isinstance(nodes, list) else None
        row |= {f"{phase}_seconds": number(known.get(phase)) for phase in PHASES}
        ended = attempt.get("ended") or read_document(path / "status.json")[0].get("updated")
        end = epoch(ended)
        begin = end - row["run_seconds"]
        if begin != begin and (path / "run.json").exists():
            begin = (path / "run.json").stat().st_mtime
        if end == end and begin == begin:
            rows.append(row | {"begin": begin, "end": max(begin, end)})
    return pd.DataFrame(rows, columns=list(ATTEMPT_COLUMNS))


def epoch(time: Any) -> float:
    """Return an ISO time as seconds since the epoch, NaN when it is none."""
    try:
        return datetime.datetime.fromisoformat(str(time)).timestamp()
    except ValueError:
        return float("nan")


def spans(attempts: pd.DataFrame) -> pd.DataFrame:
    """Return a row per attempt and phase: run, phase, begin, end (seconds since the first), state.

    Parameters
    ----------
    attempts
        Rows of :func:`attempt_table`.
    """
    rows: list[dict[str, Any]] = []
    for row in attempts.to_dict("records"):
        begin, end = row["begin"], row["end"]
        head = {"run": row["run"], "state": row["state"]}
        rows.append({**head, "phase": "run", "begin": begin, "end": end})
        for phase in reversed(PHASES[:-1]):
            seconds = row[f"{phase}_seconds"]
            if seconds > 0:
                rows.append({**head, "phase": phase, "begin": begin - seconds, "end": begin})
                begin -= seconds
    table = pd.DataFrame(rows, columns=["run", "phase", "begin", "end", "state"])
    first = table["begin"].min()
    return table.assign(begin=table["begin"] - first, end=table["end"] - first)
