"""The start of recurrent weights."""

import pytest
import torch

from hpcbench.config.tree import validate
from hpcbench.models.config import CELLS, cell_class
from hpcbench.models.initialisation import (
    RecurrentOptions,
    spectral_radius,
    start_input,
    start_recurrent,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 24


def started(**options: object) -> torch.Tensor:
    torch.manual_seed(2)
    weight = torch.empty(SIZE, SIZE, dtype=torch.float64)
    start_recurrent(weight, RecurrentOptions(**options))
    return weight


def test_orthogonal() -> None:
    weight = started(recurrent="orthogonal")
    eye = torch.eye(SIZE, dtype=torch.float64)
    torch.testing.assert_close(weight.T @ weight, eye, rtol=0, atol=1e-12)


def test_sparse_has_fifteen_connections_and_the_radius_asked_for() -> None:
    weight = started(recurrent="sparse", spectral_radius=1.1)
    assert ((weight != 0).sum(1) == 15).all()
    assert spectral_radius(weight) == pytest.approx(1.1, rel=1e-9)


def test_identity_and_uniform() -> None:
    assert torch.equal(started(recurrent="identity"), torch.eye(SIZE, dtype=torch.float64))
    weight = started(recurrent="uniform")
    assert 0.8 * SIZE**-0.5 < weight.abs().max() <= SIZE**-0.5


def test_input_scale() -> None:
    weight = torch.empty(SIZE, 3)
    start_input(weight, 16, RecurrentOptions(input_scale=0.1))
    assert 0.01 < weight.abs().max() <= 0.1 / 4


@pytest.mark.parametrize("name", ["stepped_lstm", "peephole_lstm", "depth_gated_lstm", "lstm"])
def test_every_gate_of_an_lstm_starts_orthogonal_and_remembering(name: str) -> None:
    cls = cell_class(name)
    cell = cls(3, SIZE, 2, validate(cls.Options, {"forget_bias": 2.0}, name)).double()
    weights = {key: value for key, value in cell.named_parameters() if "weight_hh" in key}
    assert len(weights) == 2
    for weight in weights.values():
        for gate in weight.split(SIZE):
            torch.testing.assert_close(
                gate.T @ gate, torch.eye(SIZE, dtype=torch.float64), rtol=0, atol=1e-5
            )
    biases = [v for k, v in cell.named_parameters() if k.endswith("bias") or "bias_ih" in k]
    forget = [b[SIZE : 2 * SIZE] for b in biases if len(b) == 4 * SIZE]
    assert len(forget) == 2
    assert all((bias == 2.0).all() for bias in forget)


def test_a_forget_gate_starts_nearly_open() -> None:
    """sigma(1) = 0.731 where neither the input nor the past says anything."""
    cls = cell_class("stepped_lstm")
    layer = cls(3, SIZE, 1, cls.Options()).double().layers[0]
    zeros = torch.zeros(1, SIZE, dtype=torch.float64)
    _, forget, *_ = layer.activations(zeros[:, :3], zeros)
    expected = torch.full_like(zeros, 0.7310585786300049)
    torch.testing.assert_close(forget.sigmoid(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "fused_gru", "coupled_lstm"])
def test_every_gate_starts_as_the_options_say(name: str) -> None:
    cls = cell_class(name)
    options = {"recurrent": "sparse", "spectral_radius": 1.1, "input_scale": 0.1}
    torch.manual_seed(3)
    cell = cls(3, SIZE, 2, validate(cls.Options, options, name)).double()
    for key, weight in cell.named_parameters():
        if "weight_hh" in key:
            assert all(
                spectral_radius(g) == pytest.approx(1.1, rel=1e-5) for g in weight.split(SIZE)
            )
            assert ((weight != 0).sum(1) == 15).all()
        elif "weight_ih" in key:
            assert 0.01 * SIZE**-0.5 < weight.abs().max() <= 0.1 * SIZE**-0.5


def test_irnn_keeps_what_it_has_seen() -> None:
    """Identity weights and relu: without input the hidden units do not change."""
    cls = cell_class("elman")
    options = {"recurrent": "identity", "activation": "relu"}
    cell = cls(3, SIZE, 1, validate(cls.Options, options, "elman"))
    start = torch.rand(1, 2, SIZE)
    _, (last,) = cell(torch.zeros(2, 100, 3), (start,))
    assert torch.equal(last, start)


@pytest.mark.parametrize("name", CELLS)
def test_the_seed_fixes_the_weights(name: str) -> None:
    cls = cell_class(name)
    both = []
    for _ in range(2):
        torch.manual_seed(5)
        both.append(cls(3, SIZE, 2, cls.Options()).state_dict())
    assert all(torch.equal(both[0][key], both[1][key]) for key in both[0])
