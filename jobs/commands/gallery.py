"""``hpcbench gallery``: small examples that show what the parts do, on one page of pictures.

Every example (:mod:`jobs.gallery.examples`) computes its series anew from seeds, draws them, and
leaves the numbers as CSV beside the pictures. Datasets and training runs that examples need are
kept in the folder, so a gallery that was stopped goes on where it was.
"""

import argparse
import datetime
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.report.page import render_page
from analysis.report.sections import Section
from hpcbench.config.overrides import merge, parse_overrides
from hpcbench.config.tree import Config, canonical_json, validate
from hpcbench.console import message, print_results
from hpcbench.errors import InputError, nearest
from jobs.gallery.examples import EXAMPLES, Made, example
from jobs.gallery.workshop import Workshop

TAKES_OVERRIDES = True

QUESTION = "What do recurrent networks do by themselves, what do they learn, and how?"

READING = (
    "Below each heading stands what was found, below each picture its files, and then the "
    "commands that make the same again; everything follows from the seeds."
)

THREADS = "OMP_NUM_THREADS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench gallery``."""
    parser.add_argument(
        "--out", type=Path, default=Path("runs/gallery"), help="folder (default: runs/gallery)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="use tiny sizes, to see that everything runs"
    )
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", help=f"make these examples only: {', '.join(EXAMPLES)}"
    )
    parser.epilog = "Any setting of an example can be given as well: --sine.epochs 200"


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench gallery``."""
    out: Path = arguments.out
    given = parse_overrides(arguments.overrides)
    names = _chosen(arguments.only, given)
    settings = {name: _settings(name, arguments.quick, given.get(name, {})) for name in names}
    begin = time.monotonic()
    sections, files, found = [], [], []
    with _one_thread():
        for number, name in enumerate(names, start=1):
            message(f"[{number}/{len(names)}] {example(name).TITLE}")
            started = time.monotonic()
            made = example(name).make(settings[name], Workshop(out))
            seconds = time.monotonic() - started
            with _writing(out):
                files += [path for picture in made.pictures for path in picture.write(out)]
            sections.append(_section(name, made, settings[name]))
            found.append({"name": name, "value": seconds, "unit": "s", "shows": made.sentence})
    page = out / "index.html"
    with _writing(out):
        page.write_text(_page(sections, files, arguments), encoding="utf-8")
    examples = "example" if len(names) == 1 else "examples"
    message(f"{len(names)} {examples} in {time.monotonic() - begin:.0f} s: {page}")
    print_results(
        [{"name": "page", "value": str(page), "unit": ""}, *found],
        arguments.json,
        {"page": str(page), "files": [str(file) for file in files]},
    )
    return 0


def _chosen(only: Sequence[str] | None, given: Mapping[str, Any]) -> list[str]:
    """Return the examples to make; refuse names that are none, and settings of others."""
    valid = ", ".join(EXAMPLES)
    for option, names in (("--only", only or []), ("settings of", list(given))):
        for name in names:
            if name not in EXAMPLES:
                raise InputError(
                    f'{option} "{name}": no such example{nearest(name, EXAMPLES)}; valid: {valid}'
                )
    names = list(dict.fromkeys(only or EXAMPLES))
    for name in given:
        if name not in names:
            raise InputError(f"--{name}: --only leaves out this example; name it there too")
    return names


def _settings(name: str, quick: bool, given: Any) -> Config:
    if not isinstance(given, dict):
        raise InputError(f"--{name}: needs the name of a setting, such as --{name}.seed 2")
    module = example(name)
    settings: Config = validate(
        module.Settings, merge(module.QUICK if quick else {}, given), f"gallery, example {name}"
    )
    return settings


def _section(name: str, made: Made, settings: Config) -> Section:
    chosen = [f"--{name}.{field}={canonical_json(value)}" for field, value in settings]
    again = shlex.join(["hpcbench", "gallery", "--only", name, *chosen])
    return Section(
        example(name).TITLE,
        made.sentence,
        pictures=list(made.pictures),
        commands=(again, *made.commands),
    )


def _page(sections: Sequence[Section], files: Sequence[Path], arguments: Any) -> str:
    out: Path = arguments.out
    words = ["hpcbench", "gallery", *(["--quick"] if arguments.quick else [])]
    words += ["--only", *arguments.only] if arguments.only else []
    sizes = "Tiny sizes (--quick): these pictures show that everything runs, and nothing else."
    return render_page(
        title="Gallery",
        question=QUESTION,
        answer=[*([sizes] if arguments.quick else []), READING],
        sections=sections,
        facts=[],
        commands=[],
        repeat=shlex.join([*words, *arguments.overrides, "--out", str(out)]),
        counts={"done": len(sections)},
        files=[str(file.relative_to(out)) for file in files],
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Say of a folder that cannot be written what to do."""
    try:
        yield
    except OSError as error:
        problem = f"{out}: cannot be written: {error.strerror}; give another --out"
        raise InputError(problem) from None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: these networks are small, and sums keep their order."""
    import torch

    before, number = os.environ.get(THREADS), torch.get_num_threads()
    os.environ[THREADS] = "1"
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(number)
        os.environ.pop(THREADS)
        if before is not None:
            os.environ[THREADS] = before
