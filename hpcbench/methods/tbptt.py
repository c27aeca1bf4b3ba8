"""Truncated backpropagation through time with a carried state."""

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from hpcbench.errors import InputError
from hpcbench.methods.method import Method, detached
from hpcbench.methods.noise import NoiseOptions, disturbance
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.windows import RowRandom

if TYPE_CHECKING:
    from hpcbench.run_config import RunConfig


class TruncatedBPTTOptions(NoiseOptions):
    """Options of truncated backpropagation: the noise, and which steps have a target.

    targets
        ``all`` steps of the window (many to many) or the ``last`` one (many to one).
    """

    targets: Literal["all", "last"] = "all"


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
        """Refuse an undisturbed target where the target is not an increment."""
        if not config.train.method_options().noise_corrected and config.model.target == "state":
            raise InputError(
                "train.options.noise_corrected: false keeps the undisturbed increment, and "
                'model.target is "state"; choose model.target = "increment", or true'
            )

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it."""
        inputs, following = states[:, :-1], states[:, 1:]
        if self.options.noise:
            shape = inputs.shape[1], inputs.shape[2]
            noise = disturbance(self.options, random, shape).to(inputs.device)
            if not self.options.noise_corrected:
                following = following + noise
            inputs = inputs + noise
        dtype = self.forecaster.dtype
        target = self.forecaster.scaled_target(inputs, following).to(dtype)
        scaled, state = self.forecaster(inputs.to(dtype), state)
        if self.options.targets == "last":
            scaled, target = scaled[:, -1:], target[:, -1:]
        return nn.functional.mse_loss(scaled, target), detached(state)
