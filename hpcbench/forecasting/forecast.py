"""``hpcbench forecast RUN``: forecast with a trained model, on its own data or on others."""

import argparse
from pathlib import Path
from typing import Any

import torch

from hpcbench.config.tree import Config, content_hash, merge, parse_overrides, validate
from hpcbench.console import message, print_results
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.embedding.observation import observe
from hpcbench.embedding.reduction import Reduction
from hpcbench.errors import InputError
from hpcbench.forecasting.evaluation import ForecastConfig, evaluate
from hpcbench.forecasting.large_ring import evaluate_ring
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling
from hpcbench.parallel.communicator import communicator
from hpcbench.run.checkpoint import require_checkpoint
from hpcbench.run.record import SCHEMA, RunDirectory, read_json

TAKES_OVERRIDES = True


def run_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return what a run's record says of its dataset."""
    return {
        "path": str(dataset.path),
        "content": dataset.content_hash,
        "system": dataset.system,
        "parameters": dataset.parameters,
        "sample_interval": dataset.sample_interval,
        "lyapunov_exponent": dataset.lyapunov_exponent,
    }


def load_forecaster(run: Path) -> tuple[Forecaster, dict[str, Any]]:
    """Return the trained forecaster of a run folder and the run's definition."""
    definition = read_json(run / "run.json")
    if definition.get("schema") != SCHEMA:
        raise InputError(f"{run}/run.json: schema {definition.get('schema')}; valid: {SCHEMA}")
    config = definition["config"]
    checkpoint = require_checkpoint(run)
    saved = {name: tensor.numpy() for name, tensor in checkpoint.model.items()}
    reduction = None
    if "reduce_basis" in saved:
        reduction = Reduction(*(saved[f"reduce_{name}"] for name in ("basis", "inverse", "spread")))
    mean, std, increment = (saved[f"scale_{name}"] for name in ("mean", "std", "increment"))
    model = validate(ModelConfig, config["model"], f"{run}/run.json")
    embedding = validate(EmbeddingConfig, config.get("embedding", {}), f"{run}/run.json")
    forecaster = Forecaster(model, Scaling(mean, std, increment, reduction), embedding)
    forecaster.set_dtype(getattr(torch, config["train"]["dtype"]))  # first: loading converts
    forecaster.load_state_dict(checkpoint.model)
    return forecaster, definition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench forecast``."""
    parser.add_argument("run", type=Path, help="folder of a finished training run")
    parser.add_argument("--data", type=Path, help="dataset (default: the one trained on)")
    parser.add_argument("--out", type=Path, help="where to (default: RUN/forecasts/NAME-OF-DATA)")
    parser.add_argument(
        "--sites",
        type=int,
        help="size of the rings to forecast, a multiple of the dataset's; ranks share the sites",
    )


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench forecast``."""
    run: Path = arguments.run
    sites: int | None = arguments.sites
    ranks = communicator("mpi")
    forecaster, definition = ranks.together(lambda: load_forecaster(run))
    forecaster.to(ranks.device)
    asked = merge(
        {"forecast": definition["config"]["forecast"]}, parse_overrides(arguments.overrides)
    )
    config = validate(_Settings, asked, f"{run}/run.json").forecast
    if config.initial_conditions == 0:
        raise InputError("forecast.initial_conditions: given 0; give at least 1")
    path = arguments.data or Path(definition["dataset"]["path"])
    dataset = ranks.together(lambda: observe(open_dataset(path), forecaster.embedding))
    with dataset:
        source = run_dataset(dataset)
        if sites is None:
            evaluation = evaluate(forecaster, dataset, config, ranks)
        else:
            evaluation = evaluate_ring(forecaster, dataset, config, ranks, sites)
    if not ranks.is_first:
        return 0
    asked_config = {**definition["config"], "forecast": asked["forecast"], "sites": sites}
    what = {"config": asked_config, "dataset": source}
    out = arguments.out or run / "forecasts" / f"{dataset.path.stem}-{content_hash(what, 8)}"
    directory = RunDirectory(out, what)
    directory.open(resume=True)
    evaluation.write(out / "forecast.h5")
    result = directory.result("forecast", "done", evaluation.metrics(), ranks=ranks.size)
    message(f"forecasts: {out}")
    print_results(result["metrics"], arguments.json, {"run": str(out)})
    return 0


class _Settings(Config):
    """The part of a run's configuration that ``hpcbench forecast`` may change."""

    forecast: ForecastConfig
