"""Truncated backpropagation through time with a carried state."""

from pydantic import Field
from torch import Tensor, nn

from hpcbench.config import Config
from hpcbench.methods.method import Method, detached
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.windows import RowRandom


class TruncatedBPTT(Method):
    r"""One-step prediction with teacher forcing; gradients reach back one window.

    .. math::

        \ell = \frac{1}{B T D} \sum_{b,t,d} \bigl(y_{btd} - \hat y_{btd}\bigr)^2

    over every step of the window, with :math:`y` the scaled target. The state after the window
    starts the next one, cut off from its history (Williams and Peng 1990).

    With ``noise`` every input is disturbed by Gaussian noise of that standard deviation (in
    units of the normalised state) while the target stays the true next state, so the network
    learns to return to the trajectory (Lu et al. 2018; Wikner et al. 2024).
    """

    class Options(Config):
        """Standard deviation of the noise on the normalised inputs."""

        noise: float = Field(0.0, ge=0.0)

    TAKES_DELAYS = True

    def __init__(self, forecaster: Forecaster, options: "TruncatedBPTT.Options") -> None:
        super().__init__(forecaster)
        self.noise = options.noise

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it.

        Parameters
        ----------
        states
            True states ``(batch, window + 1, component)``, normalised, float64.
        state
            Carried state of these rows, or None for the zero state.
        random
            Source of the noise, the same for any number of ranks.
        """
        inputs, following = states[:, :-1], states[:, 1:]
        if self.noise:
            inputs = inputs + self.noise * random.normal(inputs.shape[1:]).to(inputs.device)
        dtype = self.forecaster.dtype
        target = self.forecaster.scaled_target(inputs, following).to(dtype)
        scaled, state = self.forecaster(inputs.to(dtype), state)
        loss = nn.functional.mse_loss(scaled, target)
        return loss, detached(state)
