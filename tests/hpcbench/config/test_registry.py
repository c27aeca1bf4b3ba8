"""The registry: every bad input gives one message that says what to do."""

import inspect
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbench.config.registry import Registry
from hpcbench.errors import InputError
from hpcbench.models.config import CELLS
from hpcbench.training.methods.registry import METHODS
from hpcbench.training.optimizers.registry import OPTIMIZERS
from sims.systems.registry import SYSTEMS

REGISTRIES = {registry.noun: registry for registry in (CELLS, METHODS, OPTIMIZERS, SYSTEMS)}
PLUGIN = Path(__file__).parents[2] / "plugin.py"
FITTING = {"cell": "Leaky", "method": "OneStep", "optimiser": "SignOptions", "system": "Rotation"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the outside module in it under a name of its own."""
    monkeypatch.chdir(tmp_path)
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_foreign", {})
    shutil.copy(PLUGIN, tmp_path / "brought_along.py")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages on Python's path."""
    place = folder / "site-packages"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    shutil.copy(PLUGIN, place / "outside.py")
    return place


def install(site: Path, package: str, group: str, name: str, value: str) -> None:
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


def problem(registry: Registry, name: object, source: str = "") -> str:
    with pytest.raises(InputError) as caught:
        registry.load(name, source)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert text.startswith(f"{source}: {registry.field}: " if source else f"{registry.field}: ")
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize("noun", REGISTRIES)
def test_ours_pass_the_checks_of_others(noun: str) -> None:
    registry = REGISTRIES[noun]
    assert len(registry) == len(set(registry))
    for name in registry:
        assert registry.obstacle(registry.load(name)) is None, name


@pytest.mark.parametrize("noun", REGISTRIES)
def test_a_class_in_the_current_folder(noun: str, folder: Path) -> None:
    registry = REGISTRIES[noun]
    before = list(sys.path)
    found = registry.load(f"brought_along:{FITTING[noun]}")
    assert found.__name__ == FITTING[noun]
    assert registry.load(f"brought_along:{FITTING[noun]}") is found
    assert sys.path == before
    assert inspect.getfile(found) == str(folder / "brought_along.py")


@pytest.mark.parametrize("noun", REGISTRIES)
def test_an_entry_point(noun: str, site: Path) -> None:
    registry = REGISTRIES[noun]
    install(site, "outside", registry.group, "theirs", f"outside:{FITTING[noun]}")
    assert registry.load("theirs").__name__ == FITTING[noun]
    assert 'did you mean "theirs"' in problem(registry, "thiers")


@pytest.mark.parametrize("noun", REGISTRIES)
def test_unknown_names(noun: str, folder: Path) -> None:
    registry = REGISTRIES[noun]
    name = next(iter(registry))
    said = problem(registry, f"{name}x", "file.toml")
    assert f'no {noun} is called "{name}x" (did you mean "{name}"?)' in said
    assert ", ".join(registry) in said
    assert "missing; valid: " in problem(registry, None)
    assert "expected a name, given 3" in problem(registry, 3)


@pytest.mark.parametrize("noun", REGISTRIES)
def test_what_cannot_be_imported(noun: str, folder: Path) -> None:
    registry, name = REGISTRIES[noun], FITTING[noun]
    said = problem(registry, f"brought_alogn:{name}")
    assert 'there is no module brought_alogn (did you mean "brought_along"?)' in said
    assert f"the current folder {folder}" in said
    (folder / "broken.py").write_text("import numpy\nx = numpy.zero(3)\n")
    assert "importing broken fails: AttributeError" in problem(registry, f"broken:{name}")
    (folder / "lacking.py").write_text("import no_such_library\n")
    assert "No module named 'no_such_library'" in problem(registry, f"lacking:{name}")
    (folder / "leaving.py").write_text("raise SystemExit(0)\n")
    assert "importing leaving fails: SystemExit" in problem(registry, f"leaving:{name}")
    (folder / "torn.py").write_text("def f(:\n")
    assert "importing torn fails: SyntaxError" in problem(registry, f"torn:{name}")
    for text in (":", f":{name}", "brought_along:", "a b:C", ".brought_along:C", "a:b:c"):
        assert 'expected "module:Class"' in problem(registry, text)


@pytest.mark.parametrize("noun", REGISTRIES)
def test_what_the_module_lacks(noun: str, folder: Path) -> None:
    registry, name = REGISTRIES[noun], FITTING[noun]
    said = problem(registry, f"brought_along:{name}s")
    assert f'brought_along.py has no {name}s (did you mean "{name}"?)' in said
    assert f"it has {name}" in said


@pytest.mark.parametrize("noun", REGISTRIES)
def test_what_is_no_such_class(noun: str, folder: Path) -> None:
    registry = REGISTRIES[noun]
    other = "Rotation" if noun != "system" else "Leaky"
    said = problem(registry, f"brought_along:{other}")
    assert f"{other} does not derive from {registry.base.replace(':', '.')}" in said
    assert f"{noun} derives from" in said
    assert "np is no class" in problem(registry, "brought_along:np")


BAD = """
from torch import nn
from brought_along import Leaky, OneStep, Rotation
from hpcbench.config.tree import Config
from sims.systems.flows.flow import Flow

class NoOptions(nn.Module):
    def __init__(self, num_inputs, hidden, layers, options): ...

class OddOptions(NoOptions):
    Options = dict

class Few(Leaky):
    def __init__(self, num_inputs): ...

class Many(OneStep):
    def __init__(self, forecaster, options, more): ...

class NoBuild(Config):
    pass

class Abstract(Flow):
    name = "abstract"
    Parameters = Config
"""


@pytest.mark.parametrize(
    ("noun", "name", "message"),
    [
        ("cell", "NoOptions", "has no Options"),
        ("cell", "OddOptions", "has Options that does not derive from hpcbench.config.tree.Config"),
        ("cell", "Few", "is not built as Few(num_inputs, hidden, layers, options)"),
        ("method", "Many", "is not built as Many(forecaster, options)"),
        ("optimiser", "NoBuild", "has no build"),
        ("system", "Abstract", "does not define initial_state, num_components, "),
    ],
)
def test_what_the_class_lacks(noun: str, name: str, message: str, folder: Path) -> None:
    (folder / "bad.py").write_text(BAD)
    assert f"{name} {message}" in problem(REGISTRIES[noun], f"bad:{name}")


@pytest.mark.parametrize("noun", REGISTRIES)
def test_entry_points_that_clash(noun: str, site: Path) -> None:
    registry, name = REGISTRIES[noun], FITTING[noun]
    install(site, "first", registry.group, "theirs", f"outside:{name}")
    install(site, "second", registry.group, "theirs", f"outside.other:{name}")
    said = problem(registry, "theirs")
    assert f'the packages first and second both offer a {noun} "theirs"' in said
    assert f'give "outside.other:{name}" or "outside:{name}"' in said


@pytest.mark.parametrize("noun", REGISTRIES)
def test_an_entry_point_with_a_name_of_ours(noun: str, site: Path) -> None:
    registry, ours = REGISTRIES[noun], next(iter(REGISTRIES[noun]))
    install(site, "shadow", registry.group, ours, f"outside:{FITTING[noun]}")
    assert registry.load(ours).__module__.startswith(registry.package)
    said = problem(registry, "theirs")
    assert f'the package shadow offers a {noun} "{ours}"' in said


@pytest.mark.parametrize("noun", REGISTRIES)
def test_an_entry_point_that_fails_names_its_package(noun: str, site: Path) -> None:
    registry = REGISTRIES[noun]
    install(site, "outside", registry.group, "theirs", "gone:Class")
    said = problem(registry, "theirs")
    assert 'entry point "theirs" of the package outside: "gone:Class": there is no module' in said
