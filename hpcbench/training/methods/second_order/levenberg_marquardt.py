"""Levenberg–Marquardt: damped Gauss–Newton steps with the whole matrix, for small networks."""

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hpcbench.data.windows import RowRandom
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method, detached, require_cell, traceable_cells
from hpcbench.training.methods.noise import NoiseOptions, check_noise, disturbed
from hpcbench.training.methods.second_order.curvature import Window

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig

CHUNK_BYTES = 64 * 2**20
"""Most bytes of the Jacobian that are held at once."""

SMALLEST_DAMPING = 1e-14
"""The damping falls no further: below it the sum with the diagonal rounds it away."""


class LevenbergMarquardtOptions(NoiseOptions):
    r"""Options of the Levenberg–Marquardt method: of the noise, and its own.

    damping
        First :math:`\lambda`, against the mean of the diagonal of :math:`J^\top J`.
    decrease, increase
        Factors on :math:`\lambda` after a step that lowers the loss, and one that does not.
    tries
        Most steps tried with one matrix.
    rate, fall
        Share :math:`\eta` of a step that is taken: 1 at first, and falling geometrically to
        ``rate`` over the first ``fall`` of the training, a share of its steps.
    """

    damping: float = Field(1e-2, gt=0)
    decrease: float = Field(0.5, gt=0, lt=1)
    increase: float = Field(4.0, gt=1)
    tries: int = Field(5, ge=1)
    rate: float = Field(1.0, gt=0, le=1)
    fall: float = Field(0.3, ge=0, le=1)


class _RowModel(nn.Module):
    """The forecaster for one row: inputs ``(time, input)`` → outputs ``(time, output)``."""

    def __init__(self, forecaster: Forecaster) -> None:
        super().__init__()
        self.forecaster = forecaster

    def forward(self, row: Tensor, state: State | None) -> Tensor:
        before = None if state is None else tuple(part[:, None] for part in state)
        hidden, _ = self.forecaster.core(row[None], before)
        return self.forecaster.read_out(hidden, row[None])[0]


class LevenbergMarquardt(Method):
    r"""Solve for the step with a Gauss–Newton matrix that is averaged over batches.

    .. math::

        A &\leftarrow (1 - \eta) A + \eta \tfrac1N J^\top J, \qquad
        \bar d = \tfrac1P \operatorname{tr} A \\
        \theta &\leftarrow \theta - \eta\, \bigl(A + \lambda \bar d I\bigr)^{-1}
        \tfrac1N J^\top e

    A step that lowers the loss of its batch is taken and :math:`\lambda` falls; else
    :math:`\lambda` grows and the step is tried again with the same matrix. With
    :math:`\eta = 1` this is the method of Levenberg (1944) and Marquardt (1963), every batch for
    itself. As :math:`\eta` falls, the matrix remembers :math:`1/\eta` batches, so each can be
    small, and the damping vanishes: the natural gradient (Amari 1998), a Kalman filter of the
    weights. The matrix is one allreduce of :math:`P^2` numbers in float64; every rank solves the
    same system. Made for some thousand parameters and short windows.
    """

    OWNS_UPDATE: ClassVar[bool] = True
    TAKES_DELAYS: ClassVar[bool] = True
    Options = LevenbergMarquardtOptions

    damping: Tensor
    matrix: Tensor

    def __init__(self, forecaster: Forecaster, options: LevenbergMarquardtOptions) -> None:
        super().__init__(forecaster)
        self.options = options
        self.register_buffer("damping", torch.tensor(options.damping, dtype=torch.float64))
        if options.rate < 1:
            size = sum(p.numel() for p in forecaster.parameters() if p.requires_grad)
            self.register_buffer("matrix", torch.zeros(size, size, dtype=torch.float64))

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse cells whose rows cannot be differentiated side by side."""
        require_cell(config, traceable_cells(config), "differentiates all rows side by side")
        check_noise(config)

    def update(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Take one step; return the loss before it."""
        pairs = disturbed(self.options, states, random)
        window = Window(self.forecaster, *pairs, state, self.ranks)
        here = window.parameters.get()
        after = detached(window.state_after())
        loss, matrix, slope = normal_equations(window)
        rate = self.rate(random.step)
        if self.options.rate < 1:
            matrix = self.matrix.lerp_(matrix, rate)
        felt = matrix.diagonal() > 0  # no output depends on the other weights: they stay
        system, slope = matrix[felt][:, felt], slope[felt]
        scale, step = matrix.diagonal().mean(), torch.zeros_like(here)
        for _ in range(self.options.tries):
            damped = system.clone()
            damped.diagonal().add_(self.damping * scale)
            factor, failed = torch.linalg.cholesky_ex(damped)
            if not int(failed):
                solution = torch.cholesky_solve(-rate * slope[:, None], factor)[:, 0]
                step[felt] = solution.to(here.dtype)
                if window.loss(here + step) < loss:
                    window.parameters.set(here + step)
                    self.damping *= self.options.decrease
                    self.damping.clamp_(min=SMALLEST_DAMPING)
                    break
            self.damping *= self.options.increase
        return torch.tensor(loss, dtype=torch.float64), after

    def rate(self, step: int) -> float:
        """Return the share of a training step, and of its batch in the matrix."""
        duration = self.options.fall * self.num_steps
        if step < duration:
            return float(self.options.rate ** (step / duration))
        return self.options.rate if step else 1.0  # the first matrix has nothing to join


def normal_equations(window: Window) -> tuple[float, Tensor, Tensor]:
    r"""Return the loss, :math:`\frac1N J^\top J` and :math:`\frac1N J^\top e` over all ranks.

    The Jacobian is taken row by row, a chunk of rows at a time.
    """
    forecaster, parameters = window.forecaster, window.parameters
    model = _RowModel(forecaster)
    named = {f"forecaster.{n}": p.detach() for n, p in forecaster.named_parameters()}
    trained = {name: named.pop(name) for name in [f"forecaster.{n}" for n in parameters.names]}
    rows = forecaster.rows(window.inputs)
    target = forecaster.outputs(window.target)

    def outputs(
        weights: dict[str, Tensor], row: Tensor, state: State | None
    ) -> tuple[Tensor, Tensor]:
        value = torch.func.functional_call(model, {**named, **weights}, (row, state))
        return value, value

    along = None if window.state is None else 1
    jacobian = torch.func.vmap(torch.func.jacrev(outputs, has_aux=True), in_dims=(None, 0, along))
    size = sum(weight.numel() for weight in trained.values())
    per_row = target[0].numel() * size * rows.element_size()
    chunk = max(1, CHUNK_BYTES // per_row)
    matrix = rows.new_zeros(size, size, dtype=torch.float64)
    slope = rows.new_zeros(size, dtype=torch.float64)
    squares = rows.new_zeros(1, dtype=torch.float64)
    for first in range(0, len(rows), chunk):
        part = slice(first, first + chunk)
        state = None if window.state is None else tuple(s[:, part] for s in window.state)
        slopes, values = jacobian(trained, rows[part], state)
        error = (values - target[part]).flatten().double()
        columns = [slopes[name].reshape(len(error), -1) for name in trained]
        joined = torch.cat(columns, 1).double()
        matrix += gram(joined)
        slope += joined.T @ error
        squares += error @ error
    for total in (matrix, slope, squares):
        total /= target.numel()
    window.average(matrix, slope, squares)
    return float(squares), matrix, slope


def gram(matrix: Tensor) -> Tensor:
    r"""Return :math:`A^\top A`; columns of zeros cost nothing."""
    used = matrix.any(0)
    if not bool(used.all()):
        result = matrix.new_zeros(matrix.shape[1], matrix.shape[1])
        places = used.nonzero()
        result[places, places.T] = gram(matrix[:, used])
        return result
    if matrix.device.type != "cpu":
        return matrix.T @ matrix
    held = matrix.numpy()  # NumPy computes one triangle only, PyTorch both
    return torch.from_numpy(held.T @ held)
