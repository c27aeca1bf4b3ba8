"""Truncated backpropagation through time with a carried state."""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.backpropagation.dropout import DropoutOptions, dropped
from hpcbench.training.methods.method import Method, detached, require_cell
from hpcbench.training.methods.noise import NoiseOptions, check_noise, disturbed

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


TWO_PASTS = ("coupled_lstm", "depth_gated_lstm", "lstm", "peephole_lstm", "stepped_lstm")
"""Cells whose state is a short memory ``h`` and a long one ``c``."""


class TruncatedBPTTOptions(NoiseOptions, DropoutOptions):
    """Options of truncated backpropagation: of the noise and the dropout, and two of its own.

    targets
        ``all`` steps of the window (many to many) or the ``last`` one (many to one).
    carried
        What the next window of a segment starts from: ``all`` of the state, the ``hidden`` units
        or the ``cell`` alone, the other one zero. An ablation of the LSTM's two memories.
    """

    targets: Literal["all", "last"] = "all"
    carried: Literal["all", "hidden", "cell"] = "all"


class TruncatedBPTT(Method):
    r"""One-step prediction with teacher forcing; gradients reach back one window.

    .. math::

        \ell = \frac{1}{B T D} \sum_{b,t,d} \bigl(y_{btd} - \hat y_{btd}\bigr)^2

    over every step of the window, with :math:`y` the scaled target. The state after the window
    starts the next one, cut off from its history (Williams and Peng 1990). Full backpropagation
    is the special case of a window as long as the state is carried.

    With ``noise`` the inputs are disturbed while the target stays the true next state, so the
    network learns to return to the trajectory (Lu et al. 2018; Wikner et al. 2024).
    """

    TAKES_DELAYS = True
    Options = TruncatedBPTTOptions

    def __init__(self, forecaster: Forecaster, options: TruncatedBPTTOptions) -> None:
        super().__init__(forecaster)
        self.options = options

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse an undisturbed target that is no increment, and parts a state does not have."""
        options = config.train.method_options()
        if options.carried != "all":
            require_cell(config, TWO_PASTS, f'with carried = "{options.carried}" parts h from c')
            if config.embedding.delays > 1 or config.embedding.layout == "sequence":
                raise InputError(
                    f'train.options.carried: "{options.carried}" does not go with delays '
                    "([embedding]), whose past is carried too; choose one of them"
                )
        check_noise(config)

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it."""
        inputs, following = disturbed(self.options, states, random)
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        target = forecaster.scaled_target(inputs, following).to(dtype)
        if self.options.dropout:
            rows = forecaster.rows(inputs.to(dtype))
            hidden, state = forecaster.core(rows, state)
            hidden = dropped(hidden, self.options.dropout, random)
            scaled = forecaster.components(forecaster.read_out(hidden, rows), len(inputs))
        else:
            scaled, state = forecaster(inputs.to(dtype), state)
        if self.options.targets == "last":
            scaled, target = scaled[:, -1:], target[:, -1:]
        return nn.functional.mse_loss(scaled, target), self._carried(state)

    def _carried(self, state: State) -> State:
        """Return the detached part of the state that the next window starts from."""
        state = detached(state)
        if self.options.carried == "all":
            return state
        hidden, cell = state
        if self.options.carried == "hidden":
            return hidden, torch.zeros_like(cell)
        return torch.zeros_like(hidden), cell
