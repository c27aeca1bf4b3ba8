"""What was run, in a few words: system, model, method and command of a record."""

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def describe_work(config: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that follow from the configuration and the dataset."""
    model, train = table(config, "model"), table(config, "train")
    return {
        "system": dataset.get("system"),
        "parameters": describe_parameters(dataset.get("parameters")),
        "lyapunov_exponent": number(dataset.get("lyapunov_exponent")),
        "dataset": dataset.get("content") or dataset.get("path"),
        "model": describe_model(model, table(config, "embedding")),
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


def describe_model(model: Mapping[str, Any], embedding: Mapping[str, Any]) -> str:
    """Return the model in a few words, such as ``"lstm 32 local(halo 4) increment, stride 5"``."""
    words = [str(model[name]) for name in ("cell", "hidden") if model.get(name) is not None]
    if model.get("layers") not in (None, 1):
        words.append(f"×{model['layers']}")
    if model.get("coupling"):
        halo = f"(halo {describe_halo(model['halo'])})" if model.get("halo") and words else ""
        words.append(f"{model['coupling']}{halo if model['coupling'] == 'local' else ''}")
    if model.get("target"):
        words.append(str(model["target"]))
    return ", ".join(filter(None, [" ".join(words), *describe_embedding(embedding)]))


def describe_halo(halo: Any) -> str:
    """Return ``"4"`` for as many neighbours on either side, ``"6+3"`` for 6 left and 3 right."""
    return "+".join(map(str, halo)) if isinstance(halo, list | tuple) else str(halo)


def describe_embedding(embedding: Mapping[str, Any]) -> list[str]:
    """Return what a model reads where that is not the state as it is: ``["2 in sequence"]``."""
    words = []
    if embedding.get("stride") not in (None, 1):
        words.append(f"stride {embedding['stride']}")
    if embedding.get("observe_every") not in (None, 1):
        words.append(f"sees 1 of {embedding['observe_every']}")
    if embedding.get("components") is not None:
        words.append(f"{embedding['components']} components")
    if embedding.get("whiten"):
        words.append("whitened")
    if embedding.get("delays") not in (None, 1):
        how = "in sequence" if embedding.get("layout") == "sequence" else "delays"
        apart = embedding.get("delay")
        spacing = f" {apart} apart" if apart not in (None, 1) else ""
        words.append(f"{embedding['delays']} {how}{spacing}")
    if embedding.get("delay_components") is not None:
        words.append(f"{embedding['delay_components']} delay components")
    return words


OWN_UPDATE = frozenset(("fast_random", "hessian_free", "levenberg_marquardt", "ridge"))
"""Methods that change the parameters themselves: what ``train.optimizer`` says has no effect."""


def describe_method(train: Mapping[str, Any]) -> str:
    """Return the training method, given as a name or a table with one, and its optimiser."""
    method = train.get("method")
    if isinstance(method, Mapping):
        method = method.get("name") or method.get("kind")
    optimizer = train.get("optimizer")
    if method is None or method in OWN_UPDATE or optimizer is None:
        return "" if method is None else str(method)
    return f"{method} {optimizer}"


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
