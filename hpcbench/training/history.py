"""What a training run measures at every step, and ``metrics.h5``."""

import math
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from hpcbench.parallel.communicator import Communicator
from hpcbench.run.files import replaced
from hpcbench.training.baselines import Baselines

TIMED = ("step_seconds", "compute_seconds", "data_seconds")
"""Wall time of a step, of its forward and backward pass, and of waiting for data (per rank)."""

VALIDATED = ("validation_loss", "validation_vpt", "validation_joules")
"""What every validation measures."""


class History:
    """Losses and times of every step.

    Losses are averages over ranks; times stay one column per rank. Steps of an earlier attempt
    have no times (NaN): interrupted attempts never mix into timings.

    Parameters
    ----------
    num_steps
        Steps of the whole run.
    ranks
        The run's communicator.

    Attributes
    ----------
    validation_step, validation_loss, validation_vpt, validation_joules
        Of every validation: the steps done, the one-step loss, the mean valid prediction time in
        Lyapunov times, and the energy used since the attempt began (NaN where not measured).
    """

    def __init__(self, num_steps: int, ranks: Communicator) -> None:
        self.ranks = ranks
        self.loss = np.full(num_steps, np.nan)
        self.learning_rate = np.full(num_steps, np.nan)
        self.times = np.full((len(TIMED), num_steps, ranks.size), np.nan)
        self.validation_step: list[int] = []
        self.validation_loss: list[float] = []
        self.validation_vpt: list[float] = []
        self.validation_joules: list[float] = []

    def share(self, begin: int, end: int) -> None:
        """Exchange what the ranks measured in steps ``begin … end - 1``: one message each."""
        local = np.concatenate(
            [self.loss[None, begin:end], self.times[:, begin:end, self.ranks.rank]]
        )
        everyone = np.stack(self.ranks.gather(local))
        self.loss[begin:end] = everyone[:, 0].mean(axis=0)
        self.times[:, begin:end] = everyone[:, 1:].transpose(1, 2, 0)

    def tensors(self, step: int) -> dict[str, Tensor]:
        """Return what a checkpoint keeps of the first ``step`` steps."""
        return {
            "loss": torch.tensor(self.loss[:step]),
            "learning_rate": torch.tensor(self.learning_rate[:step]),
            "validation_step": torch.tensor(self.validation_step, dtype=torch.int64),
            **{name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in VALIDATED},
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what a checkpoint kept."""
        step = len(tensors["loss"])
        self.loss[:step] = tensors["loss"].numpy()
        self.learning_rate[:step] = tensors["learning_rate"].numpy()
        self.validation_step = tensors["validation_step"].tolist()
        for name in VALIDATED:
            setattr(self, name, tensors[name].tolist())
        # the meter starts again with every attempt
        self.validation_joules = [math.nan] * len(self.validation_step)

    def validated(self, step: int, loss: float, vpt: float, joules: float | None) -> None:
        """Add what a validation found."""
        self.validation_step.append(step)
        self.validation_loss.append(loss)
        self.validation_vpt.append(vpt)
        self.validation_joules.append(math.nan if joules is None else joules)

    def timed_steps(self, num_warm_up: int) -> np.ndarray:
        """Return the steps of this attempt after its first ``num_warm_up``."""
        return np.flatnonzero(~np.isnan(self.times[0, :, 0]))[num_warm_up:]

    def slowest(self, name: str) -> np.ndarray:
        """Return the maximum over ranks of a time at every step, ``(step,)``."""
        return np.asarray(self.times[TIMED.index(name)].max(axis=-1))

    def write(self, path: Path, baselines: Baselines, **attributes: int) -> None:
        """Write ``metrics.h5``: arrays over steps, or over (step, rank) for times."""
        with replaced(path) as passing, h5py.File(passing, "w") as file:
            file["loss"] = self.loss
            file["learning_rate"] = self.learning_rate
            for name, values in zip(TIMED, self.times, strict=True):
                file[name] = values
            file["validation_step"] = np.array(self.validation_step, dtype=np.int64)
            for name in VALIDATED:
                file[name] = np.array(getattr(self, name), dtype=np.float64)
            baselines.write(file)
            file.attrs.update(attributes)
