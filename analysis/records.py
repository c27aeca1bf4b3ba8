"""One run record read into one row; what is wrong with it becomes its state and reason."""

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcbench.config import content_hash

SCHEMA = 1
"""The record schema this program reads (``schema`` in run.json and result.json)."""


class Configs(Mapping[str, dict[str, Any]]):
    """Configurations by hash; those from a cache are text until somebody asks for them."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._read: dict[str, dict[str, Any]] = {}

    def add(self, config_hash: str, config: Mapping[str, Any]) -> None:
        """Remember a configuration."""
        self._read.setdefault(config_hash, dict(config))

    def as_texts(self, hashes: set[str]) -> dict[str, str]:
        """Return the JSON text of some configurations."""
        return {key: self.texts.get(key) or json.dumps(self._read[key]) for key in sorted(hashes)}

    def __getitem__(self, config_hash: str) -> dict[str, Any]:
        if config_hash not in self._read:
            self._read[config_hash] = json.loads(self.texts[config_hash])
        return self._read[config_hash]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read.keys() | self.texts.keys())

    def __len__(self) -> int:
        return len(self._read.keys() | self.texts.keys())


@dataclass
class Gathered:
    """What the records read so far share.

    Attributes
    ----------
    configs
        Configuration by hash.
    units, better
        Unit and better direction of each metric.
    descriptions, commands
        Columns by (config_hash, kind, backend, ranks) and commands by their words, made once:
        thousands of repeats say the same.
    """

    configs: Configs = field(default_factory=Configs)
    units: dict[str, str] = field(default_factory=dict)
    better: dict[str, str] = field(default_factory=dict)
    descriptions: dict[Any, dict[str, Any]] = field(default_factory=dict)
    commands: dict[Any, str] = field(default_factory=dict)


def read_document(path: Path | str) -> tuple[dict[str, Any], str]:
    """Return a JSON object and ``""``, or ``{}`` and the reason why it could not be read."""
    try:
        # Unbuffered and without Path: a hundred thousand of either take seconds.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            document = json.loads(file.readall())
    except OSError as error:
        return {}, f"{Path(path).name}: cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return {}, f"{Path(path).name}: corrupt or partly written: {error}"
    if not isinstance(document, dict):
        found = type(document).__name__
        return {}, f"{Path(path).name}: foreign: expected a JSON object, found {found}"
    return document, ""


def schema_problem(name: str, document: Mapping[str, Any]) -> str:
    """Return what is wrong with the schema of a record, or ``""``."""
    schema = document.get("schema")
    if schema is None:
        return f"{name}: foreign: it has no schema number, so hpcbench did not write it"
    if isinstance(schema, bool) or not isinstance(schema, int):
        return f"{name}: schema: expected the number {SCHEMA}, found {schema!r}"
    if schema > SCHEMA:
        return f"{name}: schema {schema} is newer than {SCHEMA}, which this hpcbench reads; update"
    if schema < SCHEMA:
        return f"{name}: schema {schema} is older than {SCHEMA}, which this hpcbench reads"
    return ""


def read_run(directory: str, files: set[str], gathered: Gathered) -> dict[str, Any]:
    """Return the row of one run directory; its configuration and units go into ``gathered``."""
    name = "result.json" if "result.json" in files else "run.json" if "run.json" in files else ""
    document: dict[str, Any] = {}
    problem = ""
    if name:
        document, problem = read_document(f"{directory}/{name}")
        problem = problem or schema_problem(name, document)
    if problem:
        return {"state": "unreadable", "reason": problem}
    try:
        row = describe(document, gathered)
        if name == "result.json":
            row["state"] = str(document.get("status", "done"))
            row["reason"] = str(document.get("reason") or "")
            row |= read_metrics(document.get("metrics", []), gathered)
            return row
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        return {"state": "unreadable", "reason": f"{name}: foreign: {error}"}
    return row | unfinished(directory, files)


def unfinished(directory: str, files: set[str]) -> dict[str, Any]:
    """Return state and reason of a run without result.

    Who started the ranks (attempt.json) knows best how they ended; while they run, their own
    heartbeat (status.json) does.
    """
    if "attempt.json" in files:
        attempt, _ = read_document(f"{directory}/attempt.json")
        state = str(attempt.get("state", "running"))
        if state not in ("running", "done"):
            return {"state": state, "reason": str(attempt.get("reason") or "")}
    if "status.json" not in files:
        return {"state": "interrupted", "reason": "no result.json and no status.json"}
    status, problem = read_document(f"{directory}/status.json")
    if problem:
        return {"state": "unreadable", "reason": problem}
    state = str(status.get("state", "unreadable"))
    reached = f"step {status.get('step', '?')} of {status.get('num_steps', '?')}"
    reason = str(status.get("reason") or "")
    if state == "done":
        # result.json is the commit mark: without it the run did not end, whatever it says.
        state, reason = "interrupted", reason or "says done but has no result.json"
    if not reason:
        reason = f"last sign of life {status.get('updated', 'unknown')}"
    return {"state": state, "reason": f"{reason} ({reached})"}


def describe(document: Mapping[str, Any], gathered: Gathered) -> dict[str, Any]:
    """Return the columns that say what was run."""
    config = document.get("config") or {}
    dataset = document.get("dataset") or {}
    if not isinstance(config, Mapping) or not isinstance(dataset, Mapping):
        raise TypeError("config and dataset must be tables")
    config_hash = str(document.get("config_hash") or content_hash(config))
    ranks, backend = document.get("ranks"), document.get("backend")
    kind = str(document.get("kind", "train"))
    what = (config_hash, kind, str(backend), str(ranks))
    known = gathered.descriptions.get(what)
    if known is None:
        gathered.configs.add(config_hash, config)
        known = describe_work(config, dataset) | {"kind": kind, "config_hash": config_hash}
        known |= {"backend": backend or known["backend"], "ranks": number(ranks)}
        gathered.descriptions[what] = known
    argv = document.get("command")
    key = (str(argv), str(ranks))
    if key not in gathered.commands:
        gathered.commands[key] = describe_command(argv, ranks)
    return {**known, "command": gathered.commands[key]}


def describe_work(config: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that follow from the configuration and the dataset."""
    model, train = table(config, "model"), table(config, "train")
    return {
        "system": dataset.get("system"),
        "parameters": describe_parameters(dataset.get("parameters")),
        "lyapunov_exponent": number(dataset.get("lyapunov_exponent")),
        "dataset": dataset.get("content") or dataset.get("path"),
        "model": describe_model(model),
        "method": describe_method(train),
        "backend": train.get("backend"),
        "seed": number(config.get("seed")),
    }


def table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a configuration, empty when it has none of that name."""
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def describe_parameters(parameters: Any) -> str:
    """Return ``"forcing=8, num_sites=40"``."""
    if isinstance(parameters, str):
        try:
            parameters = json.loads(parameters)
        except ValueError:
            return str(parameters)
    if not isinstance(parameters, Mapping):
        return ""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, int | float) else f"{name}={value}"
        for name, value in sorted(parameters.items())
    )


def describe_model(model: Mapping[str, Any]) -> str:
    """Return the model in a few words, such as ``"lstm 32 local(halo 4) increment"``."""
    words = [str(model[name]) for name in ("cell", "hidden") if model.get(name) is not None]
    if model.get("layers") not in (None, 1):
        words.append(f"×{model['layers']}")
    if model.get("coupling"):
        halo = f"(halo {model['halo']})" if model.get("halo") and words else ""
        words.append(f"{model['coupling']}{halo if model['coupling'] == 'local' else ''}")
    if model.get("target"):
        words.append(str(model["target"]))
    return " ".join(words)


def describe_method(train: Mapping[str, Any]) -> str:
    """Return the name of the training method, given as a name or as a table with one."""
    method = train.get("method")
    if isinstance(method, Mapping):
        method = method.get("name") or method.get("kind")
    return "" if method is None else str(method)


def describe_command(argv: Any, ranks: Any) -> str:
    """Return the command that starts such a run, without the paths of this machine's programs."""
    if not isinstance(argv, list) or not argv:
        return ""
    program, *options = map(str, argv)
    if program.endswith(("cli.py", "__main__.py")) or Path(program).name == "hpcbench":
        program = "hpcbench"
    launcher = ["mpirun", "-n", str(ranks)] if isinstance(ranks, int) and ranks > 1 else []
    return shlex.join([*launcher, program, *options])


def number(value: Any) -> float:
    """Return ``value`` as a float, NaN when it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def read_metrics(metrics: Any, gathered: Gathered) -> dict[str, float]:
    """Return ``metric.NAME`` columns; the units go into ``gathered``."""
    if not isinstance(metrics, list):
        raise TypeError("metrics must be a list")
    row: dict[str, float] = {}
    for metric in metrics:
        name, value = metric["name"], metric["value"]
        row[f"metric.{name}"] = value if type(value) is float else number(value)
        if name == "vpt_mean":
            row["initial_conditions"] = number(metric.get("n"))
        if name not in gathered.units:
            gathered.units[str(name)] = str(metric.get("unit") or "")
            gathered.better[str(name)] = str(metric.get("better") or "none")
    return row
