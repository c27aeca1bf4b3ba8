"""RTRL against backpropagation through the whole past; UORO against RTRL on average."""

from typing import Any

import pytest
import torch

from hpcbench.config.tree import validate
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.training.run_config import RunConfig

MODELS = [
    {"cell": "elman", "hidden": 3},
    {"cell": "stepped_lstm", "hidden": 3, "layers": 2, "coupling": "global"},
    {"cell": "gru", "hidden": 2, "skip": True, "head": [3]},
]


@pytest.mark.parametrize("model", MODELS)
def test_rtrl_is_backpropagation_through_the_whole_past(
    build: Any, tools: Any, model: dict[str, Any]
) -> None:
    """Three windows with frozen weights: each one's error, back to the zero state."""
    method = build("rtrl", **model)
    full = build("tbptt_k1_k2", {"reach": 100}, **model)
    states, mine, theirs = tools.true_states(time=7), None, None
    for first in (0, 2, 4):
        window = states[:, first : first + 3]
        loss, mine = method(window, mine, tools.rows())
        expected, theirs = full(window, theirs, tools.rows())
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
        tools.assert_same(tools.gradients(method, loss), tools.gradients(full, expected))


def test_rtrl_of_one_window_is_full_backpropagation(build: Any, tools: Any) -> None:
    method, plain, states = build("rtrl", hidden=3), build("tbptt", hidden=3), tools.true_states()
    loss, _ = method(states, None, tools.rows())
    expected, _ = plain(states, None, tools.rows())
    tools.assert_same(tools.gradients(method, loss), tools.gradients(plain, expected))


@pytest.mark.parametrize("cell", ["elman", "stepped_lstm"])
def test_uoro_is_unbiased(build: Any, tools: Any, cell: str) -> None:
    """The mean over ten thousand draws lies within three standard errors of RTRL."""
    model = {"cell": cell, "hidden": 2, "coupling": "global"}
    copies, num_batches = 500, 20
    one = tools.true_states(batch=1, time=5)
    exact = build("rtrl", **model)
    loss, _ = exact(one, None, tools.rows(batch=1))
    truth = tools.gradients(exact, loss)
    method, samples = build("uoro", **model), []
    for batch in range(num_batches):
        # many rows of the same sequence: the gradient is the mean over their draws
        random = RowRandom(seed=11, step=batch, rows=range(copies))
        value, _ = method(one.expand(copies, -1, -1), None, random)
        torch.testing.assert_close(value, loss, rtol=0, atol=1e-12)
        samples.append(tools.gradients(method, value))
    for name in (n for n in truth if "core" in n):
        draws = torch.stack([sample[name] for sample in samples])
        spread = draws.std(0) / num_batches**0.5
        away = (draws.mean(0) - truth[name]).abs() / spread
        # of the parameters of one tensor, all but the expected few outliers
        assert (away < 3).double().mean() > 0.9
        assert away.max() < 6
        # along the true gradient, one number for each tensor
        length = truth[name].norm()
        along = (draws * truth[name]).flatten(1).sum(1) / length
        assert (along.mean() - length).abs() < 3 * along.std() / num_batches**0.5


def test_uoro_carries_its_vectors_on(build: Any, tools: Any) -> None:
    """Two windows of draws average to the gradient that reaches back over both."""
    model = {"cell": "elman", "hidden": 2, "coupling": "global"}
    one = tools.true_states(batch=1, time=5)
    exact, method = build("rtrl", **model), build("uoro", **model)
    _, state = exact(one[:, :3], None, tools.rows(batch=1))
    loss, _ = exact(one[:, 2:], state, tools.rows(batch=1))
    truth = tools.gradients(exact, loss)["forecaster.core.layers.0.weight_hh"]
    samples = []
    for batch in range(20):
        many, rows = one.expand(500, -1, -1), range(500)
        _, state = method(many[:, :3], None, RowRandom(seed=1, step=2 * batch, rows=rows))
        value, _ = method(many[:, 2:], state, RowRandom(seed=1, step=2 * batch + 1, rows=rows))
        gradient = tools.gradients(method, value)
        samples.append(gradient["forecaster.core.layers.0.weight_hh"])
    draws = torch.stack(samples)
    away = (draws.mean(0) - truth).abs() / (draws.std(0) / 20**0.5)
    assert away.max() < 4


@pytest.mark.parametrize("name", ["rtrl", "uoro"])
def test_fused_cells_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"forward in time.*lstm.*stepped_lstm"):
        validate(RunConfig, {"train": {"method": name, "steps": 1}}, "train.toml")


def test_large_networks_are_refused(build: Any) -> None:
    with pytest.raises(InputError, match=r"rtrl.*smaller.*uoro"):
        build("rtrl", hidden=64)
