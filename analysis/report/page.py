"""The HTML page of a report: one file that needs no network, no script and no other file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from analysis.report.formatting import reader_table
from analysis.report.sections import Section

REM_PER_INCH = 10
"""Size of a picture on the page: its 160 dots per inch at 16 pixels per rem."""

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "template"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(
    *,
    title: str,
    question: str,
    answer: Sequence[str],
    sections: Sequence[Section],
    facts: Sequence[Mapping[str, Any]],
    commands: Sequence[str],
    repeat: str,
    counts: Mapping[str, int],
    files: Sequence[str],
    made: str,
) -> str:
    """Return the page as text; every argument is shown as given, with HTML escaped."""
    shown = [
        {
            "heading": section.heading,
            "text": section.text,
            "commands": section.commands,
            "tables": [
                {"caption": table.caption, "content": reader_table(table.shown, table.columns)}
                for table in section.tables
            ],
            "pictures": [
                {
                    "title": p.title,
                    "alt": p.alt,
                    "uri": p.data_uri(),
                    "name": p.name,
                    "width": round(p.figure.get_figwidth() * REM_PER_INCH),
                }
                for p in section.pictures
            ],
        }
        for section in sections
    ]
    return ENVIRONMENT.get_template("report.html.j2").render(
        title=title,
        question=question,
        answer=answer,
        sections=shown,
        facts=facts,
        commands=commands,
        repeat=repeat,
        counts=counts,
        files=files,
        made=made,
    )
