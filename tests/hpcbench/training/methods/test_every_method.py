"""What every training method promises, tested through the training loop itself."""

import inspect
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpcbench.config.tree import validate
from hpcbench.models.forecaster import Forecaster, Scaling
from hpcbench.parallel.alone import Alone
from hpcbench.run.checkpoint import Checkpoint, read_checkpoint
from hpcbench.training.methods.registry import METHODS, method_class
from hpcbench.training.run_config import RunConfig
from hpcbench.training.train import train

CASES = tomllib.loads((Path(__file__).parent / "cases.toml").read_text())["case"]
NAMES = [f"{case['method']}-{index}" for index, case in enumerate(CASES)]


def config_of(case: dict[str, Any], data: Path, **train_section: Any) -> RunConfig:
    model = {"hidden": 4, "halo": 1, "cell": "stepped_lstm"}
    model |= {key: case[key] for key in ("cell", "layers") if key in case}
    section = {
        "method": case["method"],
        "options": case.get("options", {}),
        "window": 4,
        "carry": 8,
        "global_batch": 6,
        "steps": 7,
        "backend": "none",
        "dtype": "float64",
        "checkpoint_every": 5,
        **train_section,
    }
    tree = {
        "dataset": {"path": str(data)},
        "model": model,
        "train": section,
        "forecast": {"initial_conditions": 0},
    }
    return validate(RunConfig, tree, "case")


def newest(run: Path) -> Checkpoint:
    checkpoint = read_checkpoint(run / "checkpoint")
    assert checkpoint is not None
    return checkpoint


def test_every_method_has_a_case() -> None:
    assert {case["method"] for case in CASES} == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_documented(name: str) -> None:
    cls = method_class(name)
    assert inspect.getdoc(cls)
    module = inspect.getmodule(cls)
    assert module is not None
    assert ".. math::" in inspect.getsource(module)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_training_moves_every_parameter_and_survives_an_interruption(
    case: dict[str, Any], tmp_path: Path, lorenz96_file: Path
) -> None:
    """The checkpoint after 5 of 7 steps lies in the middle of a segment of two windows."""
    config, run = config_of(case, lorenz96_file), tmp_path / "run"
    assert train(config, run, ranks=Alone()) is not None
    whole = newest(run)
    assert whole.step == 7
    assert torch.isfinite(whole.history["loss"]).all()

    shutil.rmtree(run / "checkpoint" / f"{7:09d}")
    (run / "result.json").unlink()
    assert newest(run).step == 5
    train(config, run, resume=True, ranks=Alone())
    resumed = newest(run)
    for group in ("model", "optimizer", "method", "carried"):
        before, after = getattr(whole, group), getattr(resumed, group)
        assert before.keys() == after.keys()
        for key, value in before.items():
            assert torch.equal(value, after[key]), key
    assert torch.equal(whole.history["loss"], resumed.history["loss"])

    torch.manual_seed(config.seed)
    start = Forecaster(config.model, Scaling(*(np.ones(12) for _ in range(3))))
    for key, parameter in start.named_parameters():
        trained = whole.model[key]
        if not method_class(case["method"]).OWNS_UPDATE or key.startswith("head"):
            assert not torch.equal(parameter.double(), trained), key
