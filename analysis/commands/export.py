"""``hpcbench export STUDY --to FORMAT``: the records in formats that other tools read.

mllog     MLPerf logging lines (``:::MLLOG {...}``), one block per run
extrap    Extra-P JSON lines: a measured value per run and metric over its parameters
parquet   the tidy frame
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records.collect import Collection, collect
from analysis.tables.curves import scaling_groups
from hpcbench.console import print_results
from hpcbench.errors import InputError

ENDINGS = {"mllog": "log", "extrap": "jsonl", "parquet": "parquet"}

EXTRAP_METRICS = {
    "step_seconds": "step",
    "training_seconds": "train",
    "forecast_seconds": "forecast",
    "peak_memory_bytes": "train",
}
"""Recorded metric → call path it belongs to."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench export``."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="STUDY", help="what to export")
    parser.add_argument("--to", required=True, choices=tuple(ENDINGS), help="format to write")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="file to write (default: records.* in the first study)")  # fmt: skip


def command(arguments: argparse.Namespace) -> int:
    """Write the file and name it."""
    out = arguments.out or arguments.paths[0] / f"records.{ENDINGS[arguments.to]}"
    collection = collect(arguments.paths)
    if collection.done.empty:
        raise InputError(f"{arguments.paths[0]}: no finished run to export")
    count = export(collection, arguments.to, out)
    print_results(
        [{"name": "file", "value": str(out), "unit": ""},
         {"name": "lines", "value": count, "unit": ""}],
        arguments.json,
    )  # fmt: skip
    return 0


def export(collection: Collection, form: str, out: Path) -> int:
    """Write the records and return the number of lines (rows).

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if form == "parquet":
            collection.frame.to_parquet(out, index=False)
            return len(collection.frame)
        lines = list(mllog(collection) if form == "mllog" else extrap(collection))
        out.write_text("".join(f"{line}\n" for line in lines))
    except OSError as error:
        problem = f"{out}: cannot be written: {error.strerror}; give another --out"
        raise InputError(problem) from None
    return len(lines)


def mllog(collection: Collection) -> Iterator[str]:
    """Yield MLPerf logging lines: what was submitted, the run's interval, what it reached."""
    for row in collection.done.to_dict("records"):
        config = collection.configs.get(str(row["config_hash"]), {})
        seconds = row.get("metric.training_seconds", math.nan)
        # Runs keep durations, not a clock: the end is when the result was committed.
        end = int((Path(str(row["path"])) / "result.json").stat().st_mtime * 1000)
        begin = end - int(1000 * seconds) if math.isfinite(seconds) else end
        train = config.get("train") or {}
        points = {
            "submission_benchmark": row["system"], "submission_platform": row["backend"],
            "number_of_ranks": int(row["ranks"]), "global_batch_size": train.get("global_batch"),
            "opt_name": train.get("optimizer"), "opt_base_learning_rate":
            train.get("learning_rate"), "seed": row["seed"],
        }  # fmt: skip
        about = {"run": row["run"], "study": row["study"]}
        for key, value in points.items():
            if value is not None and value == value:
                yield mllog_line(begin, "POINT_IN_TIME", key, value, about)
        yield mllog_line(begin, "INTERVAL_START", "run_start", None, about)
        for name in collection.units:
            value = row.get(f"metric.{name}", math.nan)
            if math.isfinite(value):
                unit = {"unit": collection.units[name]}
                key = "eval_accuracy" if name == "vpt_mean" else name
                yield mllog_line(end, "POINT_IN_TIME", key, value, about | unit)
        yield mllog_line(end, "INTERVAL_END", "run_stop", None, about | {"status": "success"})


def mllog_line(time_ms: int, event: str, key: str, value: Any, metadata: dict[str, Any]) -> str:
    """Return one line of the MLPerf log."""
    document = {"namespace": "", "time_ms": time_ms, "event_type": event, "key": key,
                "value": value, "metadata": metadata}  # fmt: skip
    return f":::MLLOG {json.dumps(document)}"


def extrap(collection: Collection) -> Iterator[str]:
    """Yield Extra-P JSON lines with the parameter p, a call path per curve and back end."""
    frame: pd.DataFrame = scaling_groups(collection)
    for row in frame[frame["state"] == "done"].to_dict("records"):
        for metric, callpath in EXTRAP_METRICS.items():
            value = row.get(f"metric.{metric}", math.nan)
            if math.isfinite(value):
                yield json.dumps(
                    {"params": {"p": int(row["ranks"])}, "metric": metric, "value": value,
                     "callpath": f"{row['group']}->{row['backend']}->{callpath}"}
                )  # fmt: skip
