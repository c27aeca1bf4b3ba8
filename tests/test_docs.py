"""The documents say what is so: links and paths lead somewhere, commands exist, examples run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hpcbench.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
PACKAGES = ("hpcbench", "sims", "jobs", "analysis")
HISTORY = {ROOT / "docs" / "log.md"}
"""Pages that name files as they were called on the day of an entry."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]+`", lambda span: span[0].replace("](", "] ("), text)


def code_of(text: str) -> list[str]:
    """Return what stands in code: fenced blocks other than Python, indented lines, spans."""
    fenced = r"^```(\w*)\n(.*?)^```"
    blocks = re.findall(fenced, text, re.DOTALL | re.MULTILINE)
    rest = re.sub(fenced, "", text, flags=re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^ {4}(.*)$", rest, re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^ {4}.*$", "", rest, flags=re.MULTILINE))
    return [block for language, block in blocks if language != "python"] + lines + spans


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            missing.append(link)
    assert not missing


@every_page
def test_paths_in_code_exist(page: Path) -> None:
    if page in HISTORY:
        pytest.skip("names files as they were called then")
    path = rf"(?<![\w./-])(?:{'|'.join((*PACKAGES, 'tests', 'docs'))})/[\w./*-]*[\w/*]"
    named = {found for code in code_of(page.read_text()) for found in re.findall(path, code)}
    assert not sorted(name for name in named if not list(ROOT.glob(name.rstrip("/"))))


@every_page
def test_modules_in_code_exist(page: Path) -> None:
    if page in HISTORY:
        pytest.skip("names modules as they were called then")
    name = rf"(?<![\w./:])(?:{'|'.join(PACKAGES)})(?:\.[a-z]\w*){{2,}}"
    named = {found for code in code_of(page.read_text()) for found in re.findall(name, code)}
    modules = [ROOT.joinpath(*found.split(".")) for found in named]
    missing = [
        module
        for module in modules
        if not (module.with_suffix(".py").is_file() or module.parent.with_suffix(".py").is_file())
        and not module.is_dir()
    ]
    assert not missing


@every_page
def test_commands_exist(page: Path) -> None:
    named: set[str] = set()
    for code in code_of(page.read_text()):
        for words in re.findall(r"(?:^|[\s/])hpcbench\s+([a-z][a-z|]*)", code):
            named |= set(words.split("|"))
    assert named <= set(COMMANDS)


def test_every_command_is_in_the_readme() -> None:
    readme = "\n".join(code_of((ROOT / "README.md").read_text()))
    assert {command for command in COMMANDS if f"hpcbench {command}" not in readme} == set()


def tour() -> str:
    text = (ROOT / "docs" / "index.md").read_text()
    return text.partition("## A tour of the code\n")[2].partition("\n## ")[0]


def test_the_tour_names_every_room() -> None:
    named = re.findall(r"`((?:hpcbench|sims|jobs|analysis)/[\w/]+)/`", tour())
    rooms = {name_of(file.parent) for p in PACKAGES for file in (ROOT / p).glob("*/__init__.py")}
    assert rooms <= set(named)
    assert [room for room in named if not (ROOT / room / "__init__.py").is_file()] == []


def test_the_tour_names_files_to_read() -> None:
    for row in tour().splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) == 4 and cells[1].endswith("/`"):
            room, first = cells[1].strip("`"), cells[2].strip("`")
            assert (ROOT / room / first).is_file(), f"{room}{first}"


EXTENDING = (ROOT / "docs" / "extending.md").read_text()
SECTIONS = {
    part.partition("\n")[0]: re.findall(r"^```(\w+)\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    for part in EXTENDING.split("\n## ")[1:]
}


def test_extending_has_an_example_of_each_kind() -> None:
    assert len(SECTIONS) == 8
    assert all(SECTIONS.values())


@pytest.mark.parametrize("section", SECTIONS)
def test_examples_of_extending_run(section: str, tmp_path: Path) -> None:
    for name in ("sims", "jobs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for language, block in SECTIONS[section]:
        assert len([line for line in block.splitlines() if line.strip()]) <= 25
        file = re.match(r"# (\w+\.\w+)\n", block)
        if file:
            (tmp_path / file[1]).write_text(block)
        elif language == "python":
            run([sys.executable, "-P", "-c", block], tmp_path)
        else:
            assert language == "sh"
            for line in block.replace("\\\n", " ").splitlines():
                program, *words = shlex.split(line)
                assert program == "hpcbench"
                run([sys.executable, "-P", "-m", "hpcbench.cli", *words], tmp_path)


def test_the_example_of_the_format_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "data_format.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    run([sys.executable, "-P", "-c", example], tmp_path)


def run(argv: list[str], folder: Path) -> None:
    done = subprocess.run(
        argv,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # threads wait for each other on a busy machine
    )
    assert done.returncode == 0, done.stderr
