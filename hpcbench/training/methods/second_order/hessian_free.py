"""Hessian-free optimisation: Gauss–Newton steps by conjugate gradients (Martens 2010)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import (
    Method,
    detached,
    require_cell,
    stepwise_cells,
    traceable_cells,
)
from hpcbench.training.methods.second_order.curvature import Window

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig

PROGRESS = 5e-4
"""Relative progress per product below which the iteration ends."""

SHRINK, NUM_SHRINKS, SUFFICIENT = 0.8, 20, 1e-2
"""Backtracking of the step: factor, most tries, share of the linear decrease that is enough."""


class HessianFreeOptions(Config):
    r"""Options of the Hessian-free optimisation.

    damping
        First :math:`\lambda`.
    products
        Most Gauss–Newton products per step.
    memory
        Factor on the last direction, from which the next iteration starts.
    structural
        Structural damping :math:`\mu`: how much a change of the hidden units counts, against
        a change of the parameters (0: not at all).
    preconditioner
        Whether the iteration is preconditioned. It takes a gradient of every row for itself.
    """

    damping: float = Field(1.0, ge=0)
    products: int = Field(50, ge=1)
    memory: float = Field(0.95, ge=0, le=1)
    structural: float = Field(0.0, ge=0)
    preconditioner: bool = False


class HessianFree(Method):
    r"""Minimise a damped quadratic model of the loss in every step.

    .. math::

        (G + \lambda I + \lambda \mu\, G_h)\, p = -\nabla L, \qquad
        \theta \leftarrow \theta + \alpha p, \qquad G_h = \tfrac2M J_h^\top J_h

    by conjugate gradients, each product one allreduce; ``p`` starts from the last step's,
    shortened. :math:`G_h` is the Gauss–Newton matrix of the :math:`M` hidden outputs: structural
    damping keeps a step from upsetting the network's dynamics where the loss does not see it.
    Levenberg–Marquardt: with the ratio :math:`\rho` of actual to predicted decrease,
    :math:`\lambda \leftarrow \tfrac23 \lambda` for :math:`\rho > \tfrac34` and
    :math:`\tfrac32 \lambda` for :math:`\rho < \tfrac14`. The preconditioner is

    .. math::

        D = \mathrm{diag}\Bigl(\tfrac1n \sum_r g_r^2 + \lambda\Bigr)^{3/4}

    with the gradients :math:`g_r` of the rows. The step :math:`\alpha` is shortened until the loss
    falls enough, and left out where it never does (Martens 2010; Martens and Sutskever 2011).
    Batches should be large: the step trusts the batch it is computed on.
    """

    OWNS_UPDATE: ClassVar[bool] = True
    TAKES_DELAYS: ClassVar[bool] = True
    Options = HessianFreeOptions

    damping: Tensor
    direction: Tensor

    def __init__(self, forecaster: Forecaster, options: HessianFreeOptions) -> None:
        super().__init__(forecaster)
        self.options = options
        weights = [p for p in forecaster.parameters() if p.requires_grad]
        start = torch.cat([torch.zeros_like(p).flatten() for p in weights])
        self.register_buffer("damping", torch.tensor(options.damping, dtype=torch.float64))
        self.register_buffer("direction", start.detach())

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse fused cells, and rows that cannot be differentiated side by side."""
        require_cell(
            config,
            stepwise_cells(config),
            "needs forward-mode derivatives, which fused kernels lack",
        )
        if config.train.method_options().preconditioner:
            require_cell(
                config,
                traceable_cells(config),
                "with a preconditioner differentiates all rows side by side",
            )

    def update(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Take one damped Gauss–Newton step; return the loss before it."""
        window = Window(self.forecaster, states[:, :-1], states[:, 1:], state, self.ranks)
        here = window.parameters.get()
        after = detached(window.state_after())
        damping, options = float(self.damping), self.options
        loss, gradient, product = window.linearised(here)

        def damped(vector: Tensor) -> Tensor:
            return product(vector, damping * options.structural) + damping * vector

        scale = torch.ones_like(here)
        if options.preconditioner:
            scale = (window.row_squares(here) + damping) ** 0.75
        start = options.memory * self.direction
        step, residual = conjugate_gradients(damped, -gradient, start, options.products, scale)
        slope = float(gradient @ step)
        if options.structural:  # what is damped is no part of the prediction
            curvature = float(step @ product(step))
        else:
            curvature = float(step @ (-gradient - residual)) - damping * float(step @ step)
        predicted = slope + 0.5 * curvature
        self.direction.copy_(step)

        length, best = 1.0, window.loss(here + step)
        decrease = best - loss
        for _ in range(NUM_SHRINKS):
            if best <= loss + SUFFICIENT * length * slope:
                break
            length *= SHRINK
            best = window.loss(here + length * step)
        else:
            length = 0.0
        window.parameters.set(here + length * step)
        ratio = decrease / predicted if predicted < 0 else 0.0
        if ratio > 0.75:
            self.damping *= 2 / 3
        elif not ratio >= 0.25:
            self.damping *= 3 / 2
        return torch.tensor(loss, dtype=torch.float64), after


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    right: Tensor,
    start: Tensor,
    most: int,
    scale: Tensor,
) -> tuple[Tensor, Tensor]:
    r"""Return an approximate solution of :math:`A p = b` and its residual, for positive definite A.

    The iteration ends after :math:`i` products when over the last
    :math:`k = \max(10, i/10)` of them the quadratic :math:`\phi = \frac12 p^\top A p - b^\top p`
    fell by less than :math:`k \epsilon` of itself (Martens 2010), or the residual vanishes.

    Parameters
    ----------
    product
        :math:`v \mapsto A v`.
    right, start
        :math:`b`, and where the iteration starts.
    most
        Largest number of iterations.
    scale
        Diagonal of the preconditioner; ones for none.
    """
    solution = start.clone()
    residual = right - (product(solution) if bool(solution.any()) else 0 * solution)
    direction = residual / scale
    square = residual @ direction
    smallest = torch.finfo(right.dtype).eps ** 2 * float(right @ (right / scale))
    values = []
    for iteration in range(1, most + 1):
        if float(square) <= smallest:
            break
        image = product(direction)
        curvature = direction @ image
        if float(curvature) <= 0:
            break
        rate = square / curvature
        solution += rate * direction
        residual -= rate * image
        scaled = residual / scale
        following = residual @ scaled
        direction = scaled + following / square * direction
        square = following
        values.append(float(-0.5 * solution @ (right + residual)))
        back = max(10, iteration // 10)
        if iteration > back and values[-1] < 0:
            progress = (values[-1] - values[-1 - back]) / values[-1]
            if progress < back * PROGRESS:
                break
    return solution, residual
