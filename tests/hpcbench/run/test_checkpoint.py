"""Checkpoints come back whole, or the one before does."""

from pathlib import Path

import pytest
import torch

from hpcbench.errors import InputError
from hpcbench.run.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    require_checkpoint,
    restore_optimizer,
    write_checkpoint,
)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step=step,
        model={"weight": torch.full((2, 3), float(step)), "scale": torch.ones(1).double()},
        optimizer={"0.exp_avg": torch.ones(3)},
        carried={},
        history={"loss": torch.arange(step, dtype=torch.float64)},
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(4))
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 4
    for group in ("model", "optimizer", "carried", "history"):
        written, read = getattr(checkpoint(4), group), getattr(found, group)
        assert set(written) == set(read)
        assert all(torch.equal(written[name], read[name]) for name in written)
        assert all(written[name].dtype == read[name].dtype for name in written)


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100, 1000):
        write_checkpoint(tmp_path, checkpoint(step))
    assert sorted(int(place.name) for place in tmp_path.iterdir()) == [100, 1000]


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "description", "partial"])
def test_a_torn_checkpoint_falls_back_to_its_predecessor(tmp_path: Path, damage: str) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    write_checkpoint(tmp_path, checkpoint(2))
    newest = tmp_path / f"{2:09d}"
    model = newest / "model.safetensors"
    content = bytearray(model.read_bytes())
    if damage == "truncate":
        model.write_bytes(content[:-5])
    elif damage == "flip":
        content[-1] ^= 1
        model.write_bytes(content)
    elif damage == "remove":
        model.unlink()
    elif damage == "description":
        (newest / "checkpoint.json").write_text("{")
    else:
        newest.rename(tmp_path / ".000000002.partial")
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1


def test_a_run_without_one_says_so(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "checkpoint") is None
    with pytest.raises(InputError, match="no readable checkpoint"):
        require_checkpoint(tmp_path)


def test_an_optimiser_goes_on_as_if_it_had_not_stopped() -> None:
    def problem() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        return model, torch.optim.Adam(model.parameters(), lr=0.1, foreach=True)

    def step(model: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    whole, optimizer = problem()
    for _ in range(6):
        step(whole, optimizer)
    first, optimizer = problem()
    for _ in range(3):
        step(first, optimizer)
    second, fresh = problem()
    second.load_state_dict(first.state_dict())
    restore_optimizer(fresh, optimizer_tensors(optimizer))
    for _ in range(3):
        step(second, fresh)
    assert torch.equal(whole.weight, second.weight)
