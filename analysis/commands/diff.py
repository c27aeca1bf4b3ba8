"""``hpcbench diff A B``: what changed between two runs or studies, in settings and provenance."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records import provenance
from analysis.records.collect import Collection, collect
from analysis.report.formatting import plain, reader_table, render
from analysis.tables.curves import flatten
from hpcbench.console import print_results

READER = (plain("field"), plain("a", "A"), plain("b", "B"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench diff``."""
    parser.add_argument("a", type=Path, metavar="A", help="run or study")
    parser.add_argument("b", type=Path, metavar="B", help="run or study")


def command(arguments: argparse.Namespace) -> int:
    """Print every field that differs."""
    table = diff(collect([arguments.a]), collect([arguments.b]))
    if arguments.json:
        results = [
            {"name": row["field"], "value": row["b"], "unit": "", "before": row["a"]}
            for row in table.to_dict("records")
        ]
        print_results(results, as_json=True)
    elif table.empty:
        print("no difference in settings or provenance")
    else:
        print(render(reader_table(table, READER), "simple"))
    return 0


def diff(a: Collection, b: Collection) -> pd.DataFrame:
    """Return ``field``, ``a`` and ``b`` for every setting and fact that is not the same."""
    sides = [dict(described(collection)) for collection in (a, b)]
    rows = [
        {"field": name, "a": sides[0].get(name, ""), "b": sides[1].get(name, "")}
        for name in dict.fromkeys([*sides[0], *sides[1]])
        if sides[0].get(name) != sides[1].get(name)
    ]
    return pd.DataFrame(rows, columns=["field", "a", "b"])


def described(collection: Collection) -> Iterator[tuple[str, str]]:
    """Yield settings and facts of a collection; a field with several values lists them."""
    settings: dict[str, dict[str, None]] = {}
    for row in collection.frame.drop_duplicates("config_hash").to_dict("records"):
        config = collection.configs.get(str(row["config_hash"]), {})
        for name, value in flatten(config):
            settings.setdefault(f"config.{name}", {})[json.dumps(value)] = None
    for name in ("system", "parameters", "dataset", "ranks", "backend"):
        for value in collection.frame[name].dropna().unique():
            settings.setdefault(name, {})[text(value)] = None
    for name, values in settings.items():
        yield name, provenance.shorten(sorted(values))
    for row in provenance.summary(collection.frame["path"]).to_dict("records"):
        yield f"provenance.{row['fact']}", str(row["value"])


def text(value: Any) -> str:
    """Return a value as a reader writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
