"""Checkpoints: safetensors and JSON, written whole or not at all, readable without pickle.

``checkpoint/STEP/`` holds ``model``, ``optimizer``, ``carried``, ``history`` and ``method`` tensors
and ``checkpoint.json`` with the SHA-256 of each file. The folder is written under another name and
renamed when complete; the two newest are kept, so a torn one falls back to its predecessor.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.optim import Optimizer

from hpcbench.errors import InputError
from hpcbench.run.files import write_bytes

KEEP = 2


@dataclass(frozen=True)
class Checkpoint:
    """What training needs to go on as if it had not stopped.

    step
        Steps taken so far.
    model
        Parameters and scaling of the forecaster.
    optimizer
        State tensors, named ``PARAMETER.QUANTITY``.
    carried
        Carried state of all global rows, named ``0``, ``1`` …, batch on axis 1; empty where the
        next step starts from zero.
    history
        What was measured at every step so far.
    method
        What the training method keeps besides the forecaster.
    """

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    carried: dict[str, Tensor]
    history: dict[str, Tensor]
    method: dict[str, Tensor] = field(default_factory=dict)


GROUPS = ("model", "optimizer", "carried", "history", "method")


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint below ``folder`` and drop all but the newest two."""
    final = folder / f"{checkpoint.step:09d}"
    partial = folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    digests = {}
    for group in GROUPS:
        tensors = {
            name: t.detach().cpu().contiguous() for name, t in getattr(checkpoint, group).items()
        }
        content = save(tensors)
        digests[group] = hashlib.sha256(content).hexdigest()
        write_bytes(partial / f"{group}.safetensors", content)
    description = {"schema": 1, "step": checkpoint.step, "sha256": digests}
    write_bytes(partial / "checkpoint.json", json.dumps(description, indent=1).encode())
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in _written(folder)[:-KEEP]:
        shutil.rmtree(old)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint below ``folder``, or None when there is none."""
    for place in reversed(_written(folder)):
        checkpoint = _read(place)
        if checkpoint is not None:
            return checkpoint
    return None


def require_checkpoint(run: Path) -> Checkpoint:
    """Return the newest whole checkpoint of a run; raise :class:`InputError` without one."""
    checkpoint = read_checkpoint(run / "checkpoint")
    if checkpoint is None:
        raise InputError(f"{run}: has no readable checkpoint; train it with `hpcbench train`")
    return checkpoint


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as named tensors."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, quantities in optimizer.state_dict()["state"].items()
        for name, value in quantities.items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put named tensors back into an optimiser whose parameters stand in the same order."""
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _written(folder: Path) -> list[Path]:
    return sorted(place for place in folder.glob("[0-9]*") if place.is_dir())


def _read(place: Path) -> Checkpoint | None:
    try:
        description = json.loads((place / "checkpoint.json").read_text())
        groups = {}
        for group in GROUPS:
            path = place / f"{group}.safetensors"
            if hashlib.sha256(path.read_bytes()).hexdigest() != description["sha256"][group]:
                return None
            groups[group] = load_file(path)
        return Checkpoint(step=description["step"], **groups)
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
