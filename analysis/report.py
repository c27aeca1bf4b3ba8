"""``hpcbench report``: tables, plots and one self-contained page from the records of runs."""

import argparse
import datetime
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import provenance
from analysis.accuracy import accuracy_table
from analysis.answer import answers
from analysis.collect import Collection, collect
from analysis.gallery import gallery
from analysis.page import render_page
from analysis.plots.style import Picture
from analysis.scaling import raw_points, read_curves, scaling_table
from analysis.tables import Column, numeric, plain, ranged, reader_table, whole, write_table
from hpcbench.console import message, print_results
from hpcbench.errors import InputError, PartlyDone

ACCURACY_READER = (
    plain("run"),
    plain("system"),
    plain("model"),
    plain("method"),
    plain("backend"),
    whole("ranks"),
    ranged("vpt", "VPT mean (95 % interval), Lyapunov times", "vpt_mean"),
    numeric("vpt_median", "VPT median"),
    numeric("vpt_censored_share", "censored share"),
    whole("n", "initial conditions"),
    numeric("vpt_persistence", "VPT of persistence"),
    numeric("vpt_climatology", "VPT of climatology"),
    numeric("nrmse_ratio_persistence_0.5", "error / persistence at 0.5"),
    numeric("nrmse_ratio_climatology_0.5", "error / climatology at 0.5"),
    numeric("nrmse_0.5", "NRMSE at 0.5"),
    numeric("nrmse_1", "NRMSE at 1"),
    numeric("nrmse_2", "NRMSE at 2"),
    numeric("training_seconds", "training, s"),
    whole("parameters_count", "parameters"),
)

SCALING_READER = (
    plain("label", "what"),
    plain("mode"),
    plain("backend"),
    whole("ranks"),
    ranged("step_seconds", "step time (95 % interval), s"),
    whole("n"),
    plain("interval_over", "n counts"),
    whole("base_ranks"),
    numeric("base_seconds", "base, s"),
    ranged("speed_up", "speed-up"),
    ranged("efficiency", "efficiency"),
    numeric("sequences_per_second", "sequences / s"),
    whole("n_ok", "ok"),
    whole("n_failed", "failed"),
    whole("n_missing", "missing"),
)

UNFINISHED_READER = (plain("study"), plain("run"), plain("state"), plain("reason"))


@dataclass(frozen=True)
class Report:
    """What was written: the page, all files, the two tables, the answer, the counts."""

    page: Path
    files: list[Path]
    accuracy: pd.DataFrame
    scaling: pd.DataFrame
    answer: list[str]
    num_done: int
    num_records: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench report``."""
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="RUN_OR_STUDY",
        help="run directory, study, or folder that holds runs",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: report/ inside the first path)",
    )
    parser.add_argument("--title", default="", help="title of the page")
    parser.add_argument("--question", default="", help="the question the page answers")


def command(arguments: argparse.Namespace) -> int:
    """Write the report and say what it found; exit code 3 when no run was done."""
    report = write_report(
        arguments.paths, arguments.out, title=arguments.title, question=arguments.question
    )
    results: list[dict[str, Any]] = [
        {"name": "page", "value": str(report.page), "unit": ""},
        {"name": "records", "value": report.num_records, "unit": ""},
        {"name": "done", "value": report.num_done, "unit": ""},
    ]
    print_results(
        results,
        arguments.json,
        {"answer": report.answer, "files": [str(file) for file in report.files]},
    )
    for sentence in report.answer:
        message(sentence)
    return 0 if report.num_done else PartlyDone.exit_code


def write_report(
    paths: Sequence[Path | str], out: Path | None = None, title: str = "", question: str = ""
) -> Report:
    """Write tables, plots and ``index.html`` about the runs under ``paths``.

    Parameters
    ----------
    paths
        Run directories, studies or folders that hold runs.
    out
        Folder to write into, made when missing; ``report`` inside the first path by default.
    title, question
        What the page is called and asks; by default what the first study says of itself.

    Raises
    ------
    InputError
        A path does not exist, or ``out`` cannot be written.
    """
    collection = collect(paths)
    out = Path(paths[0]) / "report" if out is None else out
    described: Mapping[str, Any] = next(
        (s["study"] for s in collection.studies.values() if s.get("study")), {}
    )
    title = title or str(described.get("name") or " and ".join(collection.studies))
    question = question or str(described.get("question") or "")
    curves = read_curves(collection)
    accuracy, scaling = accuracy_table(collection), scaling_table(curves)
    answer = answers(accuracy, scaling, collection.frame)
    pictures = gallery(collection, scaling, raw_points(curves))
    try:
        files = write_files(out, accuracy, scaling, pictures)
        page = out / "index.html"
        page.write_text(
            render_page(
                title=title,
                question=question,
                answer=answer,
                accuracy=reader_table(finished(accuracy), ACCURACY_READER),
                scaling=reader_table(scaling, SCALING_READER),
                unfinished=reader_table(unfinished(collection), UNFINISHED_READER),
                pictures=pictures,
                facts=facts_of(collection),
                commands=commands_of(collection),
                repeat=repeat_command(paths, out, title, question),
                counts=counts_of(collection),
                files=[str(file.relative_to(out)) for file in files],
                made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            ),
            encoding="utf-8",
        )
        summary = out / "answer.json"
        summary.write_text(json.dumps({"question": question, "answer": answer}, indent=1) + "\n")
    except OSError as error:
        problem = f"{out}: cannot be written: {error.strerror}; give another --out"
        raise InputError(problem) from None
    return Report(
        page=page,
        files=[page, summary, *files],
        accuracy=accuracy,
        scaling=scaling,
        answer=answer,
        num_done=len(collection.done),
        num_records=len(collection.frame),
    )


def write_files(
    out: Path, accuracy: pd.DataFrame, scaling: pd.DataFrame, pictures: Sequence[Picture]
) -> list[Path]:
    """Write the tables and pictures and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    tables: list[tuple[str, pd.DataFrame, Sequence[Column]]] = [
        ("accuracy", accuracy, ACCURACY_READER),
        ("scaling", scaling, SCALING_READER),
    ]
    files = [
        path for name, frame, columns in tables for path in write_table(frame, columns, out / name)
    ]
    return files + [path for picture in pictures for path in picture.write(out)]


def finished(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that were scored; the others stand in the list of what did not finish."""
    return accuracy[accuracy["state"] == "done"]


def unfinished(collection: Collection) -> pd.DataFrame:
    """Return the rows that are not done."""
    return collection.frame[collection.frame["state"] != "done"]


def counts_of(collection: Collection) -> dict[str, int]:
    """Return how many records there are in each state."""
    return {str(state): int(n) for state, n in collection.frame["state"].value_counts().items()}


def facts_of(collection: Collection) -> list[dict[str, Any]]:
    """Return the provenance of the finished runs as rows of text."""
    summary = provenance.summary(collection.done["path"])
    return [{str(k): v for k, v in row.items()} for row in summary.to_dict("records")]


def commands_of(collection: Collection) -> list[str]:
    """Return the commands that made the finished runs, each once."""
    return list(dict.fromkeys(text for text in collection.done["command"] if text))


def repeat_command(paths: Sequence[Path | str], out: Path, title: str, question: str) -> str:
    """Return the command that writes this report again."""
    words = ["hpcbench", "report", *(os.fspath(path) for path in paths), "--out", os.fspath(out)]
    for option, text in (("--title", title), ("--question", question)):
        words += [option, text] if text else []
    return shlex.join(words)
