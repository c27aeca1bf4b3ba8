"""``hpcbench forecast RUN``: forecast with a trained model, on its own data or on others."""

import argparse
from pathlib import Path
from typing import Any

from hpcbench.config.overrides import merge, parse_overrides
from hpcbench.config.tree import Config, content_hash, validate
from hpcbench.console import message, print_results
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.embedding.observation import observe
from hpcbench.errors import InputError
from hpcbench.forecasting.evaluation import ForecastConfig, evaluate
from hpcbench.forecasting.large_ring import evaluate_ring
from hpcbench.forecasting.trained import load_forecaster
from hpcbench.parallel.communicator import communicator
from hpcbench.run.record import RunDirectory

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
    forecaster = ranks.together(lambda: load_forecaster(run))
    forecaster.to(ranks.device)
    definition = forecaster.run
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
