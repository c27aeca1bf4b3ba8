"""What every training method has in common, and what it may override."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.config import CELLS, cell_class
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.parallel.communicator import Communicator

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class Method(nn.Module):
    """A way to train a forecaster.

    Most methods give a loss; the optimiser takes the step. A method with ``OWNS_UPDATE`` takes
    the step itself, in :meth:`update`. What it keeps in parameters and buffers of its own is
    part of every checkpoint.

    Attributes
    ----------
    forecaster
        The model that is trained.
    ranks, num_steps
        The run's communicator and the length of its schedule, known from :meth:`prepare` on.
    """

    OWNS_UPDATE: ClassVar[bool] = False
    """Whether :meth:`update` changes the parameters, instead of an optimiser."""

    TAKES_DELAYS: ClassVar[bool] = False
    """Whether the state given may hold the past of a delay line, and nothing else at first."""

    Options: type[Config] = Config
    """What only this method knows."""

    ranks: Communicator
    num_steps: int

    def __init__(self, forecaster: Forecaster) -> None:
        super().__init__()
        self.forecaster = forecaster

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Raise :class:`~hpcbench.errors.InputError` where other choices of a run do not fit."""

    def prepare(self, ranks: Communicator, num_steps: int) -> None:
        """Take note of the ranks and of the steps to come."""
        self.ranks, self.num_steps = ranks, num_steps

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the loss of a window and the detached state after it.

        Parameters
        ----------
        states
            True states ``(batch, window + 1, component)``, normalised, float64.
        state
            Carried state of these rows, or None for the zero state.
        random
            Random numbers, the same for any number of ranks.
        """
        raise NotImplementedError

    def update(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Change the parameters; return the same as :meth:`forward`."""
        raise NotImplementedError

    def settle(self) -> None:
        """Bring the forecaster up to date, before it is validated and at the end."""

    def own_state(self) -> dict[str, Tensor]:
        """Return the parameters and buffers that are not the forecaster's."""
        state = self.state_dict()
        return {name: value for name, value in state.items() if not _of_forecaster(name)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`own_state` gave; the forecaster stays."""
        self.load_state_dict(state, strict=False)


def require_cell(config: "RunConfig", valid: Iterable[str], reason: str) -> None:
    """Raise :class:`~hpcbench.errors.InputError` unless the run's cell is one of ``valid``."""
    names = sorted(valid)
    if config.model.cell not in names:
        raise InputError(
            f'train.method "{config.train.method}" {reason}; model.cell "{config.model.cell}" does '
            f"not fit; valid: {', '.join(names)}"
        )


def stepwise_cells(config: "RunConfig") -> list[str]:
    """Return the cells that are computed step by step, with derivatives of every kind.

    A cell of the user's own counts when the run uses it and it says ``STEPWISE = True``.
    """
    names = dict.fromkeys([*CELLS, config.model.cell])
    return [name for name in names if getattr(cell_class(name), "STEPWISE", False)]


def traceable_cells(config: "RunConfig") -> list[str]:
    """Return the stepwise cells whose operations do not depend on the values of their state."""
    names = stepwise_cells(config)
    return [name for name in names if not getattr(cell_class(name), "COUNTS_STEPS", False)]


def require_linear_head(config: "RunConfig") -> None:
    """Raise :class:`~hpcbench.errors.InputError` where the head is not linear."""
    if config.model.head:
        raise InputError(
            f'train.method "{config.train.method}" needs a linear head, and model.head gives '
            f"hidden layers of {config.model.head}; leave model.head out"
        )


class _GivenGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: list[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        return outer[0], None, *(outer[0] * gradient for gradient in ctx.gradients)


def with_gradient(loss: Tensor, parameters: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """Return ``loss`` such that its backward pass adds gradients that were computed by hand."""
    result: Tensor = _GivenGradient.apply(loss, gradients, *parameters)
    return result


def detached(state: State) -> State:
    """Return a state cut off from its history."""
    return tuple(part.detach() for part in state)


def _of_forecaster(name: str) -> bool:
    return name.startswith("forecaster.")
