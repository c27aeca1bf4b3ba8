"""``hpcbench train SPEC.toml``: train a forecaster and evaluate its forecasts."""

import argparse
from pathlib import Path

from hpcbench.config.tree import read_config
from hpcbench.console import print_results
from hpcbench.errors import InputError
from hpcbench.training.run_config import RunConfig
from hpcbench.training.train import train

TAKES_OVERRIDES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench train``."""
    parser.add_argument("spec", type=Path, help="TOML file: [model], [train], [forecast]")
    parser.add_argument("--data", type=Path, help="dataset (default: dataset.path of the spec)")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/NAME-OF-SPEC)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--seed", help="seed of the initial weights and of the order of windows")


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench train``."""
    overrides = list(arguments.overrides)
    if arguments.data:
        overrides += ["--dataset.path", f"'{arguments.data}'"]
    if arguments.seed is not None:
        overrides += ["--seed", arguments.seed]
    config = read_config(RunConfig, arguments.spec, overrides)
    if config.dataset.path is None:
        raise InputError(
            f"{arguments.spec}: dataset.path: missing; give it, or --data FILE.h5 "
            "(made by `hpcbench simulate`)"
        )
    out = arguments.out or Path("runs") / arguments.spec.stem
    result = train(config, out, resume=arguments.resume)
    if result is not None:
        print_results(result["metrics"], arguments.json, {"run": str(out)})
    return 0
