"""A cell that sees nothing: the forecaster is left with a constant."""

from torch import Tensor, nn

from hpcbench.config.tree import Config

State = tuple[Tensor, ...]


class Constant(nn.Module):
    r"""No features at all.

    .. math::

        \phi_t = 0

    With the method ``ridge`` and ``intercept = false`` the forecaster is *persistence* for
    ``target = "increment"`` (nothing changes) and *climatology* for ``target = "state"`` (always
    the training mean); with an intercept, the mean increment or state of the data used.
    ``hidden`` and ``layers`` play no role.
    """

    STEPWISE = True

    class Options(Config):
        """There are none."""

    def __init__(
        self, num_inputs: int, hidden: int, layers: int, options: "Constant.Options"
    ) -> None:
        super().__init__()
        self.num_outputs = 1

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return zeros ``(batch, time, 1)`` and a state that holds nothing."""
        return 0 * inputs[..., :1], (inputs.new_zeros(1, len(inputs), 1),)
