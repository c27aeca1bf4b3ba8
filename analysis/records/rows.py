"""One run record read into one row; what is wrong with it becomes its state and reason."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from analysis.records.descriptions import describe_command, describe_work, number
from analysis.records.documents import read_document, schema_problem
from hpcbench.config.tree import content_hash


class Configs(Mapping[str, dict[str, Any]]):
    """Configurations by hash, kept as JSON text: a hundred thousand tables would fill memory."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}
        self._unread: list[Callable[[], Mapping[str, bytes]]] = []

    def add(self, config_hash: str, config: Mapping[str, Any]) -> None:
        """Remember a configuration."""
        if config_hash not in self._texts:
            self._texts[config_hash] = orjson.dumps(config)

    def add_later(self, read: Callable[[], Mapping[str, bytes]]) -> None:
        """Remember where further configurations come from, should somebody ask for them."""
        self._unread.append(read)

    @property
    def texts(self) -> Mapping[str, bytes]:
        """The JSON text of every configuration."""
        while self._unread:
            self._texts |= self._unread.pop()()
        return self._texts

    def __getitem__(self, config_hash: str) -> dict[str, Any]:
        text = self._texts.get(config_hash) or self.texts[config_hash]
        config: dict[str, Any] = orjson.loads(text)
        return config

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


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
        Columns by ``config_hash`` and commands by their words, made once: thousands of repeats
        say the same.
    names
        Names of metrics that records had together, of which units are known.
    """

    configs: Configs = field(default_factory=Configs)
    units: dict[str, str] = field(default_factory=dict)
    better: dict[str, str] = field(default_factory=dict)
    descriptions: dict[Any, dict[str, Any]] = field(default_factory=dict)
    commands: dict[Any, str] = field(default_factory=dict)
    names: set[tuple[str, ...]] = field(default_factory=set)


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
            return row | read_metrics(document.get("metrics", []), gathered)
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
    known = gathered.descriptions.get(config_hash)
    if known is None:
        gathered.configs.add(config_hash, config)
        known = describe_work(config, dataset) | {"config_hash": config_hash}
        gathered.descriptions[config_hash] = known
    argv = document.get("command")
    key = (str(argv), str(ranks))
    if key not in gathered.commands:
        gathered.commands[key] = describe_command(argv, ranks)
    return {
        **known,
        "kind": kind,
        "backend": backend or known["backend"],
        "ranks": number(ranks),
        "command": gathered.commands[key],
    }


def read_metrics(metrics: Any, gathered: Gathered) -> dict[str, Any]:
    """Return the columns ``metrics``, names and values, and ``initial_conditions``.

    Units and directions go into ``gathered``.
    """
    if not isinstance(metrics, list):
        raise TypeError("metrics must be a list")
    names = tuple([metric["name"] for metric in metrics])
    given = [metric["value"] for metric in metrics]
    values = [value if type(value) is float else number(value) for value in given]
    if names not in gathered.names:
        if not all(isinstance(name, str) for name in names):
            raise TypeError("the name of a metric must be a string")
        gathered.names.add(names)
        for metric in metrics:
            gathered.units.setdefault(metric["name"], str(metric.get("unit") or ""))
            gathered.better.setdefault(metric["name"], str(metric.get("better") or "none"))
    row: dict[str, Any] = {"metrics": (names, values)}
    if "vpt_mean" in names:
        row["initial_conditions"] = number(metrics[names.index("vpt_mean")].get("n"))
    return row
