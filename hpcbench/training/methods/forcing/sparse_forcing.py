"""Sparse teacher forcing: the truth every few steps (Mikhaeil et al. 2022)."""

import torch
from pydantic import Field
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.forcing.forcing import ForcedMethod


class SparseForcing(ForcedMethod):
    r"""Feed the truth every :math:`\tau` steps, own predictions in between.

    .. math::

        \alpha_t = 1 \;\text{if}\; t \bmod \tau = 0, \;\text{else}\; 0

    with :math:`t` counted over the whole segment that the state is carried. Gradients of a
    chaotic network grow with the time it runs free; :math:`\tau` should be about the time
    :math:`\ln 2 / \lambda_1` after which the system itself is no longer predictable.
    :math:`\tau = 1` is teacher forcing; longer than the segment, free running.
    """

    class Options(Config):
        """Steps between two forced inputs."""

        interval: int = Field(8, ge=1)

    position: Tensor

    def __init__(self, forecaster: Forecaster, options: "SparseForcing.Options") -> None:
        super().__init__(forecaster, options)
        self.interval = options.interval
        self.register_buffer("position", torch.tensor(0))

    def share(self, states: Tensor, state: State | None, random: RowRandom) -> Tensor:
        """Return 1 at the forced steps, ``(1, window)``."""
        if state is None:
            self.position.zero_()
        window = states.shape[1] - 1
        steps = int(self.position) + torch.arange(window)
        self.position += window
        return (steps % self.interval == 0).double()[None]
