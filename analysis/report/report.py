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

from analysis.records import provenance
from analysis.records.collect import Collection
from analysis.records.lyapunov import read_spectrum
from analysis.report.answer import answers
from analysis.report.findings import analyse
from analysis.report.formatting import write_table
from analysis.report.page import render_page
from analysis.report.sections import Section, sections
from hpcbench.console import message, print_results
from hpcbench.errors import InputError, PartlyDone


@dataclass(frozen=True)
class Report:
    """What was written: the page, all files, the two main tables, the answer, the counts."""

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
        help="folder to write (default: report/ inside the first path)",
    )
    parser.add_argument("--title", default="", help="title of the page")
    parser.add_argument("--question", default="", help="the question the page answers")
    parser.add_argument(
        "--project",
        type=int,
        metavar="RANKS",
        help="project the fitted laws to this number of ranks",
    )
    parser.add_argument(
        "--lyapunov",
        type=Path,
        metavar="FILE.json",
        action="append",
        default=[],
        help="spectrum that `hpcbench lyapunov SPEC.toml --json` printed; repeatable",
    )


def command(arguments: argparse.Namespace) -> int:
    """Write the report and say what it found; exit code 3 when no run was done."""
    written = write_report(
        arguments.paths,
        arguments.out,
        title=arguments.title,
        question=arguments.question,
        project=arguments.project,
        lyapunov=arguments.lyapunov,
    )
    results: list[dict[str, Any]] = [
        {"name": "page", "value": str(written.page), "unit": ""},
        {"name": "records", "value": written.num_records, "unit": ""},
        {"name": "done", "value": written.num_done, "unit": ""},
    ]
    print_results(
        results,
        arguments.json,
        {"answer": written.answer, "files": [str(file) for file in written.files]},
    )
    for sentence in written.answer:
        message(sentence)
    return 0 if written.num_done else PartlyDone.exit_code


def report(
    paths: Path | str | Sequence[Path | str],
    out: Path | str | None = None,
    *,
    title: str = "",
    question: str = "",
) -> Report:
    """Write tables, plots and one self-contained page about runs.

    Parameters
    ----------
    paths
        A run directory, a study, a folder that holds runs, or several of them.
    out
        Folder to write into, made when missing; ``report`` inside the first path by default.
    title, question
        What the page is called and asks; by default what the first study says of itself.

    Returns
    -------
    Report
        ``report.page`` is the path of the page, ``report.files`` the paths of all files,
        ``report.answer`` what was found in sentences, ``report.accuracy`` and ``report.scaling``
        the two main tables.

    Raises
    ------
    InputError
        A path does not exist, or ``out`` cannot be written.
    """
    places = [paths] if isinstance(paths, Path | str) else list(paths)
    if not places:
        raise InputError("report: paths: none given; give a run directory or a study")
    return write_report(places, None if out is None else Path(out), title, question)


def write_report(
    paths: Sequence[Path | str],
    out: Path | None = None,
    title: str = "",
    question: str = "",
    project: int | None = None,
    lyapunov: Sequence[Path] = (),
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
    project
        Number of ranks to project the fitted laws to; what lies beyond twice the largest measured
        number is labelled a projection.
    lyapunov
        Files with Lyapunov spectra of the systems, to compare those of the models with.

    Raises
    ------
    InputError
        A path does not exist, or ``out`` cannot be written.
    """
    if project is not None and project < 1:
        raise InputError(f"--project {project}: expected a number of ranks, at least 1")
    study = analyse(paths, project, [read_spectrum(path) for path in lyapunov])
    collection = study.collection
    out = Path(paths[0]) / "report" if out is None else out
    described: Mapping[str, Any] = next(
        (s["study"] for s in collection.studies.values() if s.get("study")), {}
    )
    title = title or str(described.get("name") or " and ".join(collection.studies))
    question = question or str(described.get("question") or "")
    answer = answers(study)
    shown = sections(study)
    try:
        files = write_files(out, study.accuracy, study.scaling, shown)
        page = out / "index.html"
        page.write_text(
            render_page(
                title=title,
                question=question,
                answer=answer,
                sections=shown,
                facts=facts_of(collection),
                commands=commands_of(collection),
                repeat=repeat_command(paths, out, title, question, project, lyapunov),
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
        accuracy=study.accuracy,
        scaling=study.scaling,
        answer=answer,
        num_done=len(collection.done),
        num_records=len(collection.frame),
    )


def write_files(
    out: Path, accuracy: pd.DataFrame, scaling: pd.DataFrame, shown: Sequence[Section]
) -> list[Path]:
    """Write the tables and pictures and return their paths.

    The two main tables are written even when they have no rows, so that who reads them finds
    them.
    """
    out.mkdir(parents=True, exist_ok=True)
    tables = [table for section in shown for table in section.tables]
    files = [
        path
        for table in tables
        for path in write_table(table.frame, table.columns, out / table.name, table.shown)
    ]
    written = {table.name for table in tables}
    for name, frame in (("accuracy", accuracy), ("scaling", scaling)):
        if name not in written:
            frame.to_csv(out / f"{name}.csv", index=False)
            files.append(out / f"{name}.csv")
    pictures = [picture for section in shown for picture in section.pictures]
    return files + [path for picture in pictures for path in picture.write(out)]


def counts_of(collection: Collection) -> dict[str, int]:
    """Return how many records there are in each state."""
    return {str(state): int(n) for state, n in collection.frame["state"].value_counts().items()}


def facts_of(collection: Collection) -> list[dict[str, Any]]:
    """Return the provenance of the finished runs as rows of text."""
    summary = provenance.summary(collection.done["path"].head(MAX_PROVENANCE))
    return [{str(k): v for k, v in row.items()} for row in summary.to_dict("records")]


MAX_PROVENANCE = 2000
"""Runs whose provenance is summed up on the page."""

MAX_COMMANDS = 40
"""Different commands listed on the page."""


def commands_of(collection: Collection) -> list[str]:
    """Return the commands that made the finished runs, each once."""
    different = list(dict.fromkeys(text for text in collection.done["command"] if text))
    left_out = len(different) - MAX_COMMANDS
    kept = different[:MAX_COMMANDS]
    return [*kept, f"# and {left_out} more"] if left_out > 0 else kept


def repeat_command(
    paths: Sequence[Path | str],
    out: Path,
    title: str,
    question: str,
    project: int | None,
    lyapunov: Sequence[Path],
) -> str:
    """Return the command that writes this report again."""
    words = ["hpcbench", "report", *(os.fspath(path) for path in paths), "--out", os.fspath(out)]
    for option, text in (("--title", title), ("--question", question)):
        words += [option, text] if text else []
    words += ["--project", str(project)] if project else []
    for path in lyapunov:
        words += ["--lyapunov", os.fspath(path)]
    return shlex.join(words)
