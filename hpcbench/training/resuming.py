"""The checkpoints of a run: written by the first rank, restored on every one."""

from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from hpcbench.errors import PartlyDone
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.parallel.communicator import Communicator
from hpcbench.run.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from hpcbench.training.history import History
from hpcbench.training.methods.method import Method


class Checkpoints:
    """Saves and restores the parts of a run; all ranks call.

    Parameters
    ----------
    folder
        Where checkpoints go.
    ranks
        The run's communicator.
    forecaster, method, optimizer, history
        What is saved beside the carried state.
    """

    def __init__(
        self,
        folder: Path,
        ranks: Communicator,
        forecaster: Forecaster,
        method: Method,
        optimizer: Optimizer,
        history: History,
    ) -> None:
        self.folder, self.ranks = folder, ranks
        self.forecaster, self.method = forecaster, method
        self.optimizer, self.history = optimizer, history

    def write(self, step: int, state: State | None) -> None:
        """Write what ``step`` steps led to, with the carried state of all rows.

        ``state`` is this rank's part, None where the next step starts from zero. Raises
        :class:`PartlyDone` when the disk takes no more.
        """
        carried: dict[str, Tensor] = {}
        if state is not None:
            parts = self.ranks.gather([part.detach().cpu() for part in state])
            columns = zip(*parts, strict=True)
            carried = {str(i): torch.cat(column, dim=1) for i, column in enumerate(columns)}
        self.ranks.first(lambda: self._write(step, carried))

    def _write(self, step: int, carried: dict[str, Tensor]) -> None:
        checkpoint = Checkpoint(
            step=step,
            model=self.forecaster.state_dict(),
            optimizer=optimizer_tensors(self.optimizer),
            carried=carried,
            history=self.history.tensors(step),
            method=self.method.own_state(),
        )
        try:
            write_checkpoint(self.folder, checkpoint)
        except OSError as error:
            raise PartlyDone(
                f"{self.folder}: cannot be written at step {step}: {error.strerror}; earlier "
                "checkpoints are kept. Make room, then go on with --resume"
            ) from None

    def restore(self) -> tuple[int, State | None]:
        """Go back to the newest whole checkpoint; return its steps and this rank's state."""
        checkpoint = self.ranks.first(lambda: read_checkpoint(self.folder))
        if checkpoint is None:
            return 0, None
        self.forecaster.load_state_dict(checkpoint.model)
        restore_optimizer(self.optimizer, checkpoint.optimizer)
        self.method.restore(checkpoint.method)
        self.history.restore(checkpoint.history)
        if not checkpoint.carried:
            return checkpoint.step, None
        whole = [checkpoint.carried[str(i)] for i in range(len(checkpoint.carried))]
        shares = [self.ranks.share(part.shape[1]) for part in whole]
        state = tuple(
            part[:, share.start : share.stop].to(self.ranks.device)
            for part, share in zip(whole, shares, strict=True)
        )
        return checkpoint.step, state
