"""``hpcbench train``, and the same from Python: a run from a specification to its result."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcbench.config.overrides import merge, nested, parse_overrides
from hpcbench.config.specification import Specification, name_of, python_call, read_data
from hpcbench.config.tree import validate
from hpcbench.console import print_results
from hpcbench.errors import InputError
from hpcbench.run.command import current, recorded
from hpcbench.training.run_config import RunConfig
from hpcbench.training.train import train as train_run

TAKES_OVERRIDES = True


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    path
        Its folder: checkpoints, metrics of every step, forecasts, records.
    record
        The content of its ``result.json``.
    """

    path: Path
    record: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """Value of each metric by name, in the unit that ``record["metrics"]`` states."""
        return {metric["name"]: metric["value"] for metric in self.record["metrics"]}


def train(
    spec: Specification,
    data: Path | str | None = None,
    out: Path | str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> TrainedRun | None:
    """Train a forecaster and score its forecasts.

    Under mpirun or srun every rank calls this. Signal handlers are those of before when it ends,
    and it may be called in a thread.

    Parameters
    ----------
    spec
        Path of a TOML file such as ``jobs/specs/lorenz96_smoke.toml``, or the same as a dict:
        ``{"model": {...}, "train": {...}, "forecast": {...}}``.
    data
        The dataset; by default ``dataset.path`` of the specification.
    out
        The run's folder; by default ``runs/NAME-OF-SPEC``. A dict has no name: give ``out``.
    overrides
        Fields laid over the specification: ``{"train.steps": 1000, "train.backend": "none"}``.
    resume
        Go on from the last checkpoint, to the same bits. A finished run is returned as it is.

    Returns
    -------
    TrainedRun or None
        ``result.metrics["vpt_mean"]`` and others by name, and ``result.path``; None on all ranks
        but the first.

    Raises
    ------
    InputError
        The specification does not fit itself, the dataset, the ranks, or the folder.
    PartlyDone
        A signal asked to stop; a checkpoint was written, and ``resume`` continues.
    GateFailed
        The loss became infinite or no number.
    """
    with recorded(current() or python_call("train", spec)):
        given = nested(overrides or {})
        if data is not None:
            given = merge(given, {"dataset": {"path": str(data)}})
        plain, source = read_data(spec, given)
        config = validate(RunConfig, plain, source)
        if config.dataset.path is None:
            raise InputError(
                f"{source}: dataset.path: missing; give it, or --data FILE.h5 (made by `hpcbench "
                "simulate`)"
            )
        path = Path("runs") / name_of(spec) if out is None else Path(out)
        record = train_run(config, path, resume=resume)
    return None if record is None else TrainedRun(path, record)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench train``."""
    parser.add_argument("spec", type=Path, help="TOML file with [model], [train] and [forecast]")
    parser.add_argument("--data", type=Path, help="dataset (default: dataset.path of the spec)")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/NAME-OF-SPEC)")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument("--seed", help="seed of the initial weights and of the order of windows")


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench train``."""
    overrides = parse_overrides(arguments.overrides)
    if arguments.seed is not None:
        overrides |= parse_overrides(["--seed", arguments.seed])
    result = train(
        arguments.spec, arguments.data, arguments.out, overrides=overrides, resume=arguments.resume
    )
    if result is not None:
        print_results(result.record["metrics"], arguments.json, {"run": str(result.path)})
    return 0
