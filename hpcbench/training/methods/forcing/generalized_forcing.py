"""Generalized teacher forcing: mix truth and prediction so that gradients stay bounded."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.forcing.forcing import ForcedMethod, apart
from hpcbench.training.methods.method import require_cell, require_linear_head

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig

PULLED_CELLS = ("coupled_lstm", "elman", "gru", "peephole_lstm", "stepped_lstm")
"""Cells whose first state is the hidden layer that the head reads."""

POWER_ITERATIONS = 8


class GeneralizedForcingOptions(Config):
    r"""Options of generalized teacher forcing.

    share
        Share :math:`\alpha` of the truth; ``adaptive`` lets it follow the Jacobians.
    force
        What is mixed: the ``input``, or the input and the ``state`` of the uppermost layer.
    every, memory
        With ``adaptive``: steps between two estimates; weight of the old share while it falls.
    """

    share: float | Literal["adaptive"] = 0.1
    force: Literal["input", "state"] = "input"
    every: int = Field(5, ge=1)
    memory: float = Field(0.999, ge=0, lt=1)


class GeneralizedForcing(ForcedMethod):
    r"""Feed :math:`\tilde x_t = \alpha x_t + (1 - \alpha) \hat x_t` (Hess et al. 2023).

    :math:`\alpha = 1` is teacher forcing, :math:`\alpha = 0` free running. With ``adaptive``

    .. math::

        \hat\alpha = \max(0,\, 1 - 1/N), \qquad N = \Bigl(\prod_t \|J_t\|_2\Bigr)^{1/T}, \qquad
        \alpha \leftarrow \hat\alpha \;\text{if}\; \hat\alpha > \alpha, \;\text{else}\;
        \gamma \alpha + (1 - \gamma) \hat\alpha

    starting from 1, where :math:`J_t` is the Jacobian of one step of the closed loop from
    :math:`(\hat x, s)` to :math:`(\hat x', s')`. The paper forces the whole state of a
    piecewise-linear network and proves bounded gradients; an LSTM's cell cannot be observed, so
    here only the input (and, with ``force = "state"``, the part of the hidden units that the
    head sees) is forced, and the bound does not carry over.

    The estimate uses the first global row, so it is the same for any number of ranks.
    """

    Options = GeneralizedForcingOptions
    alpha: Tensor

    def __init__(self, forecaster: Forecaster, options: GeneralizedForcingOptions) -> None:
        super().__init__(forecaster, options)
        self.options = options
        self.pull_state = options.force == "state"
        start = 1.0 if options.share == "adaptive" else options.share
        self.register_buffer("alpha", torch.tensor(start, dtype=torch.float64))

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse a share outside 0 … 1, and cells that lack what the options need."""
        options = config.train.method_options()
        if options.share != "adaptive" and not 0 <= options.share <= 1:
            raise InputError(
                f'train.options.share: given {options.share}; valid: 0 to 1, or "adaptive"'
            )
        super().check(config)
        if options.force == "state":
            require_cell(config, PULLED_CELLS, "moves the hidden units that the head reads")
            require_linear_head(config)

    def share(self, states: Tensor, state: State | None, random: RowRandom) -> Tensor:
        """Return the share of the truth, ``(1, window)``."""
        return self.alpha.expand(1, states.shape[1] - 1)

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it."""
        if self.options.share == "adaptive" and random.step % self.options.every == 0:
            self._adapt(states, state, random)
        return super().forward(states, state, random)

    def _adapt(self, states: Tensor, state: State | None, random: RowRandom) -> None:
        estimate = None
        if random.rows.start == 0:
            before, _ = apart(state)
            if before is not None:
                num_rows = before[0].shape[1] // len(states)
                before = tuple(part[:, :num_rows] for part in before)
            norms = step_jacobian_norms(self.forecaster, states[:1], before)
            growth = float(norms.log().mean().exp())
            estimate = max(0.0, 1 - 1 / growth)
        estimate = self.ranks.broadcast(estimate)
        alpha, memory = float(self.alpha), self.options.memory
        if estimate < alpha:
            estimate = memory * alpha + (1 - memory) * estimate
        self.alpha.fill_(estimate)


def step_jacobian_norms(forecaster: Forecaster, states: Tensor, state: State | None) -> Tensor:
    r"""Return :math:`\|J_t\|_2` of the closed loop at each step along the truth, ``(time,)``.

    By power iteration on :math:`J^\top J`.
    """
    dtype = forecaster.dtype
    if state is None:
        with torch.no_grad():
            _, after = forecaster(states[:, :1].to(dtype), None)
        state = tuple(torch.zeros_like(part) for part in after)

    def loop(values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        present, *inner = values
        scaled, inner_after = forecaster(present, tuple(inner))
        return forecaster.next_state(present, scaled).to(dtype), *inner_after

    norms = []
    for step in range(states.shape[1] - 1):
        point = (states[:, step : step + 1].to(dtype), *state)
        following, pull_back = torch.func.vjp(loop, point)  # type: ignore[misc]
        vector = tuple(torch.ones_like(part) for part in point)
        norm = torch.tensor(0.0, dtype=torch.float64)
        for _ in range(POWER_ITERATIONS):
            length = _length(vector)
            vector = tuple(part / length.to(dtype) for part in vector)
            image = torch.func.jvp(loop, (point,), (vector,))[1]
            norm = _length(image)
            (vector,) = pull_back(image)
        norms.append(norm)
        state = tuple(part.detach() for part in following[1:])
    return torch.stack(norms).detach()


def _length(vector: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([part.double().square().sum() for part in vector]).sum().sqrt()
