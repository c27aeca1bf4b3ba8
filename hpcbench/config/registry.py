"""Classes by name: ours, those of installed packages, and ``module:Class`` of the user's own.

A name in a configuration file is looked up in this order:

1. our own table; nothing else is asked then, so that a start stays fast;
2. ``module:Class``, which is imported. The module may lie in the folder in which the command was
   started. That folder comes last on Python's path and only while the module is imported, so it
   shadows nothing (launchers start Python with ``-P``). A sweep starts its ranks in the folder of
   ``hpcbench submit``;
3. the entry points of installed packages, in the registry's group (``hpcbench.cells``, …).

Whatever is not ours passes the same checks: it is a class, derived from the right base, with what
a run asks of it.
"""

import importlib
import inspect
import operator
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpcbench.errors import InputError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Registry:
    """The classes of one kind that a configuration can name; iterating gives our own names.

    Parameters
    ----------
    field
        The field that names one, for messages: ``model.cell``.
    noun
        What one is called: ``cell``.
    group
        Group of entry points in which installed packages offer theirs.
    base
        The class that each derives from, as ``module:Class``; imported when first needed.
    package
        The package that the modules in ``entries`` are relative to.
    entries
        Our own: name → ``module:Class``; imported only when used.
    options
        Attribute that holds the configuration class of each, or None.
    attributes
        Further attributes that each has.
    built_with
        Names of the positional arguments each is built with, or None where that is not checked.
    """

    def __init__(
        self,
        *,
        field: str,
        noun: str,
        group: str,
        base: str,
        package: str,
        entries: Mapping[str, str],
        options: str | None = None,
        attributes: tuple[str, ...] = (),
        built_with: tuple[str, ...] | None = None,
    ) -> None:
        self.field, self.noun, self.group, self.base = field, noun, group, base
        self.package, self.entries = package, entries
        self.options, self.attributes, self.built_with = options, attributes, built_with
        self._foreign: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def load(self, name: object, source: str = "") -> Any:
        """Return the class of a name; ``source`` (a file name) opens the message of an error.

        Raises :class:`InputError` as :meth:`find` raises ValueError.
        """
        try:
            return self.find(name)
        except ValueError as problem:
            place = f"{source}: " if source else ""
            raise InputError(f"{place}{self.field}: {problem}") from None

    def find(self, name: object) -> Any:
        """Return the class of a name.

        Raises
        ------
        ValueError
            There is none of that name, it cannot be imported, two packages offer it, or it is not
            what is asked for. The message says what is valid and does not name the field, which
            the validation of a configuration puts in front.
        """
        if not isinstance(name, str):
            given = "missing" if name is None else f"expected a name, given {name!r}"
            raise ValueError(f"{given}; valid: {', '.join(self.entries)}")
        if name in self.entries:
            module, _, attribute = self.entries[name].partition(":")
            return getattr(importlib.import_module(f"{self.package}.{module}"), attribute)
        if name not in self._foreign:
            self._foreign[name] = self._import(name) if ":" in name else self._offered(name)
        return self._foreign[name]

    def obstacle(self, found: Any) -> str | None:
        """Return why something cannot be used as one of these, None where it can."""
        if not isinstance(found, type):
            return "is no class"
        module, _, attribute = self.base.partition(":")
        base = getattr(importlib.import_module(module), attribute)
        if not issubclass(found, base):
            return f"does not derive from {module}.{attribute}"
        if inspect.isabstract(found):
            abstract = (n for n in dir(found) if _is_abstract(getattr(found, n, None)))
            return f"does not define {', '.join(abstract)}"
        needed = ((self.options,) if self.options else ()) + self.attributes
        missing = [attribute for attribute in needed if not hasattr(found, attribute)]
        if missing:
            return f"has no {', '.join(missing)}"
        if self.options is not None and not _is_config(getattr(found, self.options)):
            return f"has {self.options} that does not derive from hpcbench.config.tree.Config"
        if self.built_with is not None and not _accepts(found, len(self.built_with)):
            return f"is not built as {found.__name__}({', '.join(self.built_with)})"
        return None

    def _offered(self, name: str) -> Any:
        """Return what an installed package offers under a name."""
        # Imported here: a name of ours, the usual case, needs no look at the installed packages.
        from importlib.metadata import entry_points

        offers = list(entry_points(group=self.group))
        for offer in offers:
            if offer.name in self.entries:
                raise ValueError(
                    f'the package {_package(offer)} offers a {self.noun} "{offer.name}" '
                    f"({offer.value}), and hpcbench has one of that name; rename the entry point, "
                    f'or remove it and give "{offer.value}" instead'
                )
        found = [offer for offer in offers if offer.name == name]
        if not found:
            valid = [*self.entries, *sorted({offer.name for offer in offers})]
            raise ValueError(
                f'no {self.noun} is called "{name}"{nearest(name, valid)}; valid: '
                f'{", ".join(valid)}, or "module:Class"'
            )
        if len(found) > 1:
            packages = " and ".join(sorted(_package(offer) for offer in found))
            choice = " or ".join(f'"{value}"' for value in sorted({o.value for o in found}))
            raise ValueError(
                f'the packages {packages} both offer a {self.noun} "{name}"; uninstall one, or '
                f"give {choice}"
            )
        origin = f'entry point "{name}" of the package {_package(found[0])}: '
        return self._import(found[0].value, origin)

    def _import(self, place: str, origin: str = "") -> Any:
        """Return the class at ``module:Class``; ``origin`` opens the message of an error."""
        module_name, _, path = (part.strip() for part in place.partition(":"))
        words = [*module_name.split("."), *path.split(".")]
        if not all(word.isidentifier() for word in words):
            raise ValueError(f'{origin}"{place}": expected "module:Class"')
        module = _import_module(module_name, f'{origin}"{place}": ')
        try:
            found = operator.attrgetter(path)(module)
        except AttributeError:
            fitting = [name for name, value in vars(module).items() if self._fits(value, module)]
            valid = f"; it has {', '.join(fitting)}" if fitting else ""
            file = getattr(module, "__file__", None) or module_name
            raise ValueError(
                f'{origin}"{place}": {file} has no {path}{nearest(path, vars(module))}{valid}'
            ) from None
        obstacle = self.obstacle(found)
        if obstacle:
            raise ValueError(f'{origin}"{place}": {path} {obstacle}; {self._demand()}')
        return found

    def _fits(self, value: Any, module: ModuleType) -> bool:
        own = getattr(value, "__module__", None) == module.__name__
        return own and self.obstacle(value) is None

    def _demand(self) -> str:
        """Return in one sentence what a class of this kind must be."""
        parts = [f"derives from {self.base.replace(':', '.')}"]
        if self.options:
            parts.append(f"has a configuration class {self.options}")
        if self.attributes:
            parts.append(f"has {', '.join(self.attributes)}")
        if self.built_with is not None:
            parts.append(f"is built as Class({', '.join(self.built_with)})")
        listed = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
        article = "an" if self.noun[0] in "aeiou" else "a"
        return f"{article} {self.noun} {listed}"


def _import_module(name: str, origin: str) -> ModuleType:
    """Import a module, from the current folder too; raise ValueError that says why it fails."""
    try:
        with _current_folder_last():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            here = _current_folder()
            beside = [file.stem for file in here.glob("*.py")] if here else []
            raise ValueError(
                f"{origin}there is no module {error.name}{nearest(error.name, beside)}, neither on "
                f"Python's path nor in the current folder {here or '(which is gone)'}"
            ) from None
        problem: BaseException = error
    except (Exception, SystemExit) as error:  # whatever the user's module does
        problem = error
    raise ValueError(
        f"{origin}importing {name} fails: {type(problem).__name__}: {problem}"
    ) from problem


@contextmanager
def _current_folder_last() -> Iterator[None]:
    """Search modules in the current folder too, after everything else."""
    here = _current_folder()
    importlib.invalidate_caches()  # a notebook may have written the module a moment ago
    if here is None or str(here) in sys.path:
        yield
        return
    sys.path.append(str(here))
    try:
        yield
    finally:
        if str(here) in sys.path:
            sys.path.remove(str(here))


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _package(offer: "EntryPoint") -> str:
    return offer.dist.name if offer.dist is not None else "(unknown)"


def _is_abstract(attribute: Any) -> bool:
    return bool(getattr(attribute, "__isabstractmethod__", False))


def _is_config(found: Any) -> bool:
    # Imported here: `hpcbench COMMAND` starts without pydantic where it needs no configuration.
    from hpcbench.config.tree import Config

    return isinstance(found, type) and issubclass(found, Config)


def _accepts(cls: type, count: int) -> bool:
    """Tell whether a class can be called with ``count`` positional arguments."""
    try:
        inspect.signature(cls).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a class written in C says nothing of its arguments
        return True
    return True
