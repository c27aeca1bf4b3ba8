"""Small forecasters in float64, true states, and one training step of any method."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hpcbench.config.tree import validate
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling
from hpcbench.parallel.alone import Alone
from hpcbench.training.methods.method import Method
from hpcbench.training.methods.registry import method_class
from hpcbench.training.run_config import RunConfig

SITES = 6
Build = Callable[..., Method]


@pytest.fixture(autouse=True)
def on_one_thread(one_thread: None) -> None:
    """These tests multiply matrices of a few rows."""


@pytest.fixture
def build() -> Build:
    """Return a function that builds a method around a forecaster with disturbed weights."""

    def make(
        method: str,
        options: dict[str, Any] | None = None,
        num_steps: int = 100,
        cell_options: dict[str, Any] | None = None,
        **model: Any,
    ) -> Method:
        torch.manual_seed(1)
        random = np.random.default_rng(0)
        scaling = Scaling(
            random.normal(size=SITES), random.uniform(1, 2, SITES), random.uniform(0.1, 0.2, SITES)
        )
        config = ModelConfig(
            **{"hidden": 5, "halo": 1, "cell": "stepped_lstm", **model}, options=cell_options or {}
        )
        forecaster = Forecaster(config, scaling)
        forecaster.set_dtype(torch.float64)
        with torch.no_grad():
            for parameter in forecaster.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        cls = method_class(method)
        built: Method = cls(forecaster, cls.Options(**(options or {})))
        built.prepare(Alone(), num_steps)
        return built

    return make


class Tools:
    """What the tests of methods share."""

    @staticmethod
    def true_states(batch: int = 3, time: int = 9, seed: int = 2) -> Tensor:
        """Return smooth normalised states ``(batch, time, site)``."""
        torch.manual_seed(seed)
        phase, rate = torch.rand(2, batch, 1, SITES, dtype=torch.float64)
        t = torch.arange(time, dtype=torch.float64)[None, :, None]
        return torch.sin(6 * phase + (0.2 + 0.3 * rate) * t)

    @staticmethod
    def rows(step: int = 0, batch: int = 3) -> RowRandom:
        return RowRandom(seed=7, step=step, rows=range(batch))

    @staticmethod
    def gradients(method: Method, loss: Tensor) -> dict[str, Tensor]:
        """Return the gradients of a loss by name; zero where there is none."""
        method.zero_grad()
        loss.backward()
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in method.named_parameters()
        }

    @staticmethod
    def assert_refused(train: dict[str, Any], model: dict[str, Any], parts: list[str]) -> None:
        """Settings that do not go together give one message that says all of ``parts``."""
        data = {"train": {"steps": 1, **train}, "model": model}
        with pytest.raises(InputError) as error:
            validate(RunConfig, data, "train.toml")
        for part in parts:
            assert part in str(error.value)

    @staticmethod
    def assert_same(
        one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-12, rtol: float = 0.0
    ) -> None:
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=rtol, atol=atol, msg=name)


@pytest.fixture
def tools() -> type[Tools]:
    return Tools
