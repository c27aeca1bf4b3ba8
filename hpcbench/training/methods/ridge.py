"""Ridge regression of the readout from Gram matrices summed over ranks."""

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method, detached, require_linear_head

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class RidgeOptions(Config):
    r"""Options of the ridge regression.

    penalty
        The :math:`\beta` on squared weights, against the mean square of the features.
    washout
        First steps after the zero state that are not fitted.
    intercept
        Whether the readout has a constant, which is not penalised.
    """

    penalty: float = Field(1e-6, ge=0)
    washout: int = Field(0, ge=0)
    intercept: bool = True


class Ridge(Method):
    r"""Fit the readout in closed form; the cell stays as it is drawn.

    .. math::

        W_{out} = \Bigl(\tfrac1n \sum \phi y^\top\Bigr)^{\!\top}
                  \Bigl(\tfrac1n \sum \phi \phi^\top + \beta I\Bigr)^{-1}

    over all rows and steps seen, where :math:`\phi` are the cell's outputs (and its inputs, with
    ``model.skip``) and :math:`y` the scaled target. Every step adds a batch of windows to the two
    sums, in float64, with one allreduce: the fit is that of a single process. The readout is
    solved whenever the number of batches has doubled, at each validation and at the end; the
    loss reported for a step is that of the readout before its data were seen.

    With the cell ``echo_state`` this is reservoir computing, with ``polynomial`` the
    next-generation reservoir, with any other a random recurrent network.
    """

    OWNS_UPDATE: ClassVar[bool] = True
    Options = RidgeOptions

    gram: Tensor
    cross: Tensor
    num_batches: Tensor
    position: Tensor

    def __init__(self, forecaster: Forecaster, options: RidgeOptions) -> None:
        super().__init__(forecaster)
        self.options = options
        for parameter in forecaster.parameters():
            parameter.requires_grad_(False)
        head, skip = forecaster.head, forecaster.skip
        assert isinstance(head, nn.Linear)
        head.weight.zero_()
        head.bias.zero_()
        width = head.in_features + (0 if skip is None else skip.in_features) + options.intercept
        zeros = head.weight.new_zeros(width, width + head.out_features, dtype=torch.float64)
        self.register_buffer("gram", zeros[:, :width].clone())
        self.register_buffer("cross", zeros[:, width:].clone())
        self.register_buffer("num_batches", torch.tensor(0))
        self.register_buffer("position", torch.tensor(0))

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse a head that is not linear, and a washout that leaves nothing."""
        require_linear_head(config)
        washout = config.train.method_options().washout
        carry = config.train.carry or config.train.window
        if washout >= carry:
            raise InputError(
                f"train.options.washout: given {washout}, but the state is carried over only "
                f"train.carry = {carry} steps; give less, or a longer train.carry"
            )

    @torch.no_grad()
    def update(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Add a batch of windows; return the loss of the readout before."""
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        if state is None:
            self.position.zero_()
        window = states.shape[1] - 1
        first = min(max(self.options.washout - int(self.position), 0), window)
        self.position += window
        target = forecaster.scaled_target(states[:, :-1], states[:, 1:]).to(dtype)
        rows = forecaster.rows(states[:, :-1].to(dtype))
        hidden, state = forecaster.core(rows, state)
        wanted = forecaster.outputs(target)
        loss = nn.functional.mse_loss(forecaster.read_out(hidden, rows), wanted)
        if first < window:
            features = self._features(hidden, rows)[:, first:].flatten(0, 1).double()
            wanted = wanted[:, first:].flatten(0, 1).double()
            gram = features.T @ features / len(features)
            cross = features.T @ wanted / len(features)
            self.ranks.average([gram, cross])
            self.gram += gram
            self.cross += cross
            self.num_batches += 1
            count = int(self.num_batches)
            if count & (count - 1) == 0:
                self._solve(strict=False)
        return loss, detached(state)

    def _features(self, hidden: Tensor, rows: Tensor) -> Tensor:
        parts = [hidden]
        if self.forecaster.skip is not None:
            parts.append(rows)
        if self.options.intercept:
            parts.append(torch.ones_like(hidden[..., :1]))
        return torch.cat(parts, -1)

    def settle(self) -> None:
        """Solve for the readout of the data seen so far."""
        if int(self.num_batches):
            self._solve(strict=True)

    @torch.no_grad()
    def _solve(self, strict: bool) -> None:
        """Solve for the readout; where few data leave it undefined, keep the old one or raise."""
        head, skip = self.forecaster.head, self.forecaster.skip
        assert isinstance(head, nn.Linear)
        penalty = torch.full_like(self.gram[0], self.options.penalty)
        if self.options.intercept:
            penalty[-1] = 0
        count = int(self.num_batches)
        solved = solve_ridge(self.gram / count, self.cross / count, penalty)
        if solved is None:
            if not strict:
                return
            raise InputError(
                "train.options.penalty: the features are linearly dependent to rounding, so the "
                f"regression has no unique solution with a penalty of {self.options.penalty:g}; "
                "give a larger one, fewer features or more data"
            )
        solution = solved.T
        width = head.in_features
        head.weight.copy_(solution[:, :width])
        if skip is not None:
            skip.weight.copy_(solution[:, width : width + skip.in_features])
        if self.options.intercept:
            head.bias.copy_(solution[:, -1])


def solve_ridge(gram: Tensor, cross: Tensor, penalty: Tensor) -> Tensor | None:
    r"""Return :math:`(G + \mathrm{diag}\,\beta)^{-1} C`, or None unless positive definite.

    Parameters
    ----------
    gram, cross
        :math:`G` ``(feature, feature)`` and :math:`C` ``(feature, output)``, float64.
    penalty
        :math:`\beta` of each feature.
    """
    factor, failed = torch.linalg.cholesky_ex(gram + torch.diag(penalty))
    return None if int(failed) else torch.cholesky_solve(cross, factor)
