"""The frozen, typed configuration tree: TOML in, canonical JSON and a content hash out.

Every configuration class derives from :class:`Config` and stands next to what it configures.
A file is read as plain data, command-line overrides are laid over that data, and one validation
checks the whole, so a wrong value reads the same wherever it came from.
"""

import hashlib
import json
import tomllib
import typing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hpcbench.config.overrides import merge, parse_overrides
from hpcbench.errors import InputError, nearest


class Config(BaseModel):
    """Base of every configuration class: immutable, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, strict=True)


ConfigType = TypeVar("ConfigType", bound=Config)


def read_toml(path: Path | str) -> dict[str, Any]:
    """Return the content of a TOML file; raise :class:`InputError` when it cannot be read."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        hint = nearest(path.name, siblings)
        raise InputError(f"{path}: no such file{hint}; give the path of a TOML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None


def validate(cls: type[ConfigType], data: dict[str, Any], source: str) -> ConfigType:
    """Build ``cls`` from plain data; ``source`` (a file name) opens the message of an error."""
    try:
        return cls.model_validate_json(json.dumps(data, default=_plain))
    except ValidationError as error:
        lines = [_explain(cls, problem, source) for problem in error.errors()]
        raise InputError("\n".join(lines)) from None


def read_config(
    cls: type[ConfigType], path: Path | str, overrides: list[str] | None = None
) -> ConfigType:
    """Read and check a configuration file with command-line overrides laid over it."""
    data = merge(read_toml(path), parse_overrides(overrides or []))
    return validate(cls, data, str(path))


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, defaults written out."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any, length: int = 16) -> str:
    """Return the first ``length`` hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def _plain(value: Any) -> Any:
    """Return what NumPy holds as Python's own; anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _explain(cls: type[BaseModel], problem: Any, source: str) -> str:
    location = [str(part) for part in problem["loc"]]
    field = ".".join(location) or "(whole file)"
    given = problem.get("input")
    kind = problem["type"]
    if kind == "extra_forbidden":
        valid = _fields_at(cls, location[:-1])
        known = f"; valid here: {', '.join(valid)}" if valid else ""
        return f"{source}: {field}: unknown key{nearest(location[-1], valid)}{known}"
    if kind == "missing":
        return f"{source}: {field}: missing; this field has no default and must be given"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    hint = ""
    if kind in ("literal_error", "enum") and isinstance(given, str):
        hint = nearest(given, str(problem["ctx"]["expected"]).replace("'", "").split(" or "))
        if not hint:
            hint = nearest(given, str(problem["ctx"]["expected"]).replace("'", "").split(", "))
    told = json.dumps(given, default=_plain)
    said = isinstance(given, dict) or (isinstance(given, str) and told in message)
    shown = "" if said else f", given {told}"
    return f"{source}: {field}: {message}{shown}{hint}"


def _fields_at(cls: Any, location: list[str]) -> list[str]:
    """Return the field names valid at a place in the tree (empty where they cannot be told)."""
    candidates: list[Any] = [cls]
    for part in location:
        following: list[Any] = []
        for candidate in candidates:
            if part in candidate.model_fields:
                following += _models_in(candidate.model_fields[part].annotation)
            else:  # the tag of a discriminated union is a location of its own
                following.append(candidate)
        candidates = following
    return sorted({name for candidate in candidates for name in candidate.model_fields})


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
