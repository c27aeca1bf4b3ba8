"""What a command shows: results on standard output, messages and progress on standard error."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

PLAIN_LINE_SECONDS = 5.0
"""Least time between two progress lines when standard error is not a terminal."""


class ShowProgress(Protocol):
    """Move a progress display forward by ``steps`` and show a short note such as the loss."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


def message(text: str) -> None:
    """Print one message for the user on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(total: int, description: str, enabled: bool = True) -> Iterator[ShowProgress]:
    """Show progress: a bar on a terminal, a plain line now and then elsewhere.

    Parameters
    ----------
    total
        Number of steps that :class:`ShowProgress` calls will add up to.
    description
        What is being done, in a few words.
    enabled
        False shows nothing (every rank but the first).
    """
    if not enabled:
        yield lambda steps=1, note="": None
    elif sys.stderr.isatty():
        with _bar(total, description) as advance:
            yield advance
    else:
        yield _plain_lines(total, description)


@contextmanager
def _bar(total: int, description: str) -> Iterator[ShowProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            display.update(task, advance=steps, note=note)

        yield advance


def _plain_lines(total: int, description: str) -> ShowProgress:
    done = 0
    begin = last = time.monotonic()

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= PLAIN_LINE_SECONDS or done >= total:
            last = now
            share = 100 * done / max(total, 1)
            message(f"{description}: {share:.0f}% after {now - begin:.0f} s {note}".rstrip())

    return advance


def print_results(
    results: Sequence[Mapping[str, Any]], as_json: bool, document: Mapping[str, Any] | None = None
) -> None:
    """Print results on standard output, as aligned lines or as one JSON document.

    Parameters
    ----------
    results
        One mapping per result with at least ``name``, ``value`` and ``unit``.
    as_json
        Print ``{**document, "results": [...]}`` instead of lines.
    document
        Further fields of the JSON document, such as paths that were written.
    """
    if as_json:
        json.dump({**(document or {}), "results": list(results)}, sys.stdout, indent=2)
        print(flush=True)
        return
    width = max((len(str(result["name"])) for result in results), default=0)
    for result in results:
        value = result["value"]
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        print(f"{result['name']:<{width}}  {text} {result['unit']}".rstrip(), flush=True)
