"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.config.tree import Config

GRADING = 1e-6
"""Size of the diagonal that breaks ties between directions, against the mean eigenvalue."""


class SOAP(Optimizer):
    r"""Adam on gradients turned into slowly changing principal directions.

    For a matrix with gradient :math:`G`

    .. math::

        L &\leftarrow \beta L + (1-\beta) G G^\top, \qquad
        R \leftarrow \beta R + (1-\beta) G^\top G \\
        L &= Q_L \Lambda_L Q_L^\top, \qquad R = Q_R \Lambda_R Q_R^\top \\
        W &\leftarrow W - \eta\, Q_L\, \mathrm{Adam}(Q_L^\top G Q_R)\, Q_R^\top

    where every ``frequency`` steps the bases take one step of orthogonal iteration. A side longer
    than ``largest`` keeps the identity as its basis; vectors are left to plain Adam. The first
    gradient only sets the bases (arXiv:2409.11321, algorithm 3).

    The bases follow from the averaged gradients alone, so they agree on all ranks. On another
    number of ranks, rounding turns the weakest directions a little: in float64 runs agree to
    about 1e-7, less closely than those of the other optimisers.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        frequency: int = 10,
        largest: int = 1024,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "frequency": frequency}
        super().__init__(params, {**defaults, "largest": largest})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if state:
                    self._adam(parameter, state, group)
                    self._follow(parameter.grad, state, group)
                else:
                    self._start(parameter, state, group)

    def _start(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state["step"] = torch.tensor(0.0)
        state["mean"] = torch.zeros_like(parameter)
        state["square"] = torch.zeros_like(parameter)
        for side, size in enumerate(parameter.shape):
            if parameter.dim() == 2 and size <= group["largest"]:
                state[f"moment{side}"] = (1 - group["betas"][1]) * _outer(parameter.grad, side)
                basis = torch.linalg.eigh(regular(state[f"moment{side}"])).eigenvectors
                state[f"basis{side}"] = basis.flip(1).to(parameter.dtype)

    def _adam(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        state["step"] += 1
        count = int(state["step"])
        assert parameter.grad is not None
        state["mean"].lerp_(parameter.grad, 1 - first)
        state["square"].lerp_(_turn(parameter.grad, state).square(), 1 - second)
        mean = _turn(state["mean"], state) / (1 - first**count)
        root = (state["square"] / (1 - second**count)).sqrt()
        parameter -= group["lr"] * _turn_back(mean / (root + group["eps"]), state)

    def _follow(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Update the moments, and the bases when it is their turn."""
        for side in range(gradient.dim()):
            if f"basis{side}" not in state:
                continue
            moment = state[f"moment{side}"]
            moment.lerp_(_outer(gradient, side), 1 - group["betas"][1])
            if int(state["step"]) % group["frequency"] == 0:
                basis = state[f"basis{side}"].double()
                product = regular(moment) @ basis
                order = (basis * product).sum(0).argsort(descending=True, stable=True)
                state["square"] = state["square"].index_select(side, order)
                turned = torch.linalg.qr(product[:, order]).Q
                state[f"basis{side}"] = turned.to(gradient.dtype)


def regular(moment: Tensor) -> Tensor:
    r"""Return a moment in float64 with a small graded diagonal added.

    .. math::

        M + \delta\, \tfrac1n \operatorname{tr} M\, \operatorname{diag}(1 \dots 2)

    Directions that no gradient has had yet are all alike to :math:`M`, so rounding would choose
    the basis there, differently on every number of ranks; the diagonal chooses instead.
    """
    moment = moment.double()
    size = len(moment)
    grades = torch.linspace(1, 2, size, dtype=moment.dtype, device=moment.device)
    return moment + GRADING * moment.diagonal().mean() * torch.diag(grades)


def _outer(gradient: Tensor, side: int) -> Tensor:
    return gradient @ gradient.T if side == 0 else gradient.T @ gradient


def _turn(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    """Return a gradient in the bases."""
    if "basis0" in state:
        matrix = state["basis0"].T @ matrix
    if "basis1" in state:
        matrix = matrix @ state["basis1"]
    return matrix


def _turn_back(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    """Return a step in the bases as one of the parameters."""
    if "basis0" in state:
        matrix = state["basis0"] @ matrix
    if "basis1" in state:
        matrix = matrix @ state["basis1"].T
    return matrix


class SOAPOptions(Config):
    """Options of SOAP.

    beta1, beta2, epsilon
        As of Adam; ``beta2`` also averages the preconditioner.
    frequency
        Steps between two updates of the bases.
    largest
        Longest side of a matrix that gets a basis.
    """

    beta1: float = Field(0.95, ge=0, lt=1)
    beta2: float = Field(0.95, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    frequency: int = Field(10, ge=1)
    largest: int = Field(1024, ge=1)

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        return SOAP(
            parameters,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            frequency=self.frequency,
            largest=self.largest,
        )
