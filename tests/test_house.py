"""The house: rooms one can see, files one can read, imports that go one way."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("hpcbench", "sims", "jobs", "analysis")
ROOMS = [
    init.parent for package in PACKAGES for init in sorted((ROOT / package).rglob("__init__.py"))
]
SOURCES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*"))
    if path.suffix in (".py", ".c", ".h")
]

MOST_ENTRIES = 12
"""Files and folders of a room, beside its ``__init__.py``."""

MOST_LINES = 300
REASON = "Long because"
"""How a longer file gives its reason, in its docstring or first comment."""

LOADS_LAZILY = ("hpcbench", "hpcbench.cli")
"""The public calls and the command line: what they name is imported when it is called for."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def counts(entry: Path) -> bool:
    """Return whether something in a room is for a reader to find his way through."""
    if entry.is_dir():
        inside = [path for path in entry.rglob("*") if path.is_file()]
        return entry.name != "__pycache__" and {path.suffix for path in inside} - {".toml"} != set()
    return entry.name not in ("__init__.py", "py.typed") and entry.suffix != ".so"


@pytest.mark.parametrize("room", ROOMS, ids=name)
def test_a_room_is_small_and_says_what_lives_there(room: Path) -> None:
    entries = sorted(entry.name for entry in room.iterdir() if counts(entry))
    assert len(entries) <= MOST_ENTRIES, entries
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    first = docstring.partition("\n")[0]
    assert re.fullmatch(r"\S.*\w[^\w\s]?\.", first), f"not a sentence: {first!r}"
    assert ". " not in first, f"more than one sentence: {first!r}"


def test_every_folder_with_modules_is_a_room() -> None:
    assert {path.parent for path in SOURCES if path.suffix == ".py"} == set(ROOMS)


def test_a_file_is_short_or_says_why_not() -> None:
    texts = {source: source.read_text() for source in SOURCES}
    unexplained = [
        name(source)
        for source, text in texts.items()
        if len(text.splitlines()) > MOST_LINES and REASON not in opening(source.suffix, text)
    ]
    assert not unexplained, f'split them, or say "{REASON} …"'


def opening(suffix: str, text: str) -> str:
    """Return the docstring of a module, or the first comment of a C source."""
    if suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    comment = re.match(r"\s*/\*.*?\*/", text, re.DOTALL)
    return comment.group() if comment else ""


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    imports = {
        module: set() if module in LOADS_LAZILY else graph.find_modules_directly_imported_by(module)
        for module in graph.modules
    }
    # who imports nobody that is left is in no circle, nor is whom nobody imports that is left
    while free := [
        module
        for module, imported in imports.items()
        if not imported & imports.keys() or not any(module in each for each in imports.values())
    ]:
        for module in free:
            del imports[module]
    assert not {module: sorted(imported & imports.keys()) for module, imported in imports.items()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages in a folder of their own, to plant imports in."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )


def test_the_contracts_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("hpcbench.config.tree", "jobs.study.file"),
        ("hpcbench.config.tree", "submitit"),
        ("hpcbench.config.tree", "matplotlib"),
        ("hpcbench.config.tree", "sims.systems.registry"),
        ("sims.schemes.rk4", "torch"),
        ("sims.schemes.rk4", "submitit"),
        ("sims.schemes.rk4", "analysis.statistics.laws"),
        ("analysis.statistics.laws", "mpi4py"),
        ("analysis.statistics.laws", "sims.systems.registry"),
        ("jobs.study.file", "matplotlib"),
        # upwards inside a package
        ("hpcbench.config.tree", "hpcbench.training.train"),
        ("sims.kernels.arrays", "sims.generation.spec"),
        ("jobs.study.file", "jobs.commands.plan"),
        ("analysis.records.rows", "analysis.report.report"),
    ],
    ids=lambda module: module,
)
def test_a_forbidden_import_is_named(copy: Path, importer: str, imported: str) -> None:
    file = copy / importer.replace(".", "/")
    file = file.with_suffix(".py")
    before = file.read_text()
    file.write_text(f"{before}\nimport {imported}\n")
    try:
        done = lint(copy)
    finally:
        file.write_text(before)
    assert done.returncode == 1, done.stdout
    assert f"{importer} -> {imported} " in done.stdout
