"""Unbiased online recurrent optimisation: RTRL with a rank-one Jacobian (Tallec, Ollivier 2017)."""

import torch
from torch import Tensor

from hpcbench.data.windows import RowRandom
from hpcbench.models.forecaster import State
from hpcbench.training.methods.method import detached
from hpcbench.training.methods.online.rtrl import OnlineMethod

FLOOR = 1e-7
"""Added to norms before they divide."""


class UnbiasedOnlineRecurrentOptimization(OnlineMethod):
    r"""One-step prediction with an unbiased, noisy gradient of constant memory.

    .. math::

        \tilde s_t &= \rho_0 \frac{\partial F}{\partial s} \tilde s_{t-1} + \rho_1 \nu, \qquad
        \tilde\theta_t = \frac{\tilde\theta_{t-1}}{\rho_0}
                         + \frac{1}{\rho_1} \nu^\top \frac{\partial F}{\partial \theta} \\
        \rho_0^2 &= \frac{\|\tilde\theta\|}{\|\partial_s F\, \tilde s\|}, \qquad
        \rho_1^2 = \frac{\|\nu^\top \partial_\theta F\|}{\|\nu\|}, \qquad
        \nabla = \sum_t \Bigl(\frac{\partial \ell_t}{\partial s_t} \tilde s_t\Bigr)\tilde\theta_t

    with random signs :math:`\nu`, so that :math:`\mathrm E[\tilde s \tilde\theta^\top]` is the
    Jacobian of RTRL. Every row draws its own signs, whichever rank it lies on. It holds (state +
    parameters) numbers for every row.
    """

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window; carry the state and both vectors."""
        inner = None if state is None else state[:-2]
        rows, target, vectors, shape = self.window(states, inner)
        theta = self.theta()
        if state is None:
            tangent = torch.zeros_like(vectors)
            cotangent = rows.new_zeros(len(rows), len(theta))
        else:
            tangent, cotangent = state[-2][0], state[-1][0]
        num_steps, width = rows.shape[1], vectors.shape[1]
        per_sequence = len(rows) // len(states)
        draws = random.uniform((per_sequence, num_steps, width)).flatten(0, 1)
        signs = (2 * (draws < 0.5).to(rows) - 1).to(rows.device)

        def advance(
            row: Tensor, vector: Tensor, along: Tensor, against: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]:
            after, change = torch.func.jvp(  # type: ignore[misc]
                lambda s: self.step(theta, row, s, shape), (vector,), (along,)
            )
            pull_back = torch.func.vjp(
                lambda weights: self.step(weights, row, vector, shape), theta
            )[1]
            return after, change, pull_back(against)[0]

        place = self.outputs_place(shape)
        hidden, factors = [], []
        for t, row in enumerate(rows.unbind(1)):
            nu = signs[:, t]
            vectors, moved, pulled = torch.func.vmap(advance)(row, vectors, tangent, nu)
            rho0 = torch.sqrt((_norm(cotangent) + FLOOR) / (_norm(moved) + FLOOR))
            rho1 = torch.sqrt((_norm(pulled) + FLOOR) / (_norm(nu) + FLOOR))
            tangent = rho0 * moved + rho1 * nu
            cotangent = cotangent / rho0 + pulled / rho1
            hidden.append(vectors[:, place])
            factors.append((tangent[:, place], cotangent))
        loss, credit = self.credit(hidden, rows, target)
        gradient = torch.zeros_like(theta)
        for t, (along, against) in enumerate(factors):
            gradient += (credit[:, t] * along).sum(1) @ against
        after = self.as_state(vectors, shape)
        return self.given(loss, gradient), detached((*after, tangent[None], cotangent[None]))


def _norm(vectors: Tensor) -> Tensor:
    return vectors.norm(dim=1, keepdim=True)
