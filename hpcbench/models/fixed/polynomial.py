"""Polynomials of present and past inputs: the next-generation reservoir (Gauthier et al. 2021)."""

import itertools

import torch
from pydantic import Field
from torch import Tensor, nn

from hpcbench.config.tree import Config
from hpcbench.errors import InputError

State = tuple[Tensor, ...]

MOST_FEATURES = 20_000
"""More monomials than this are refused: their Gram matrix would not fit."""


class Polynomial(nn.Module):
    r"""All monomials of the inputs up to a degree.

    .. math::

        z_t = (x_t, x_{t-s}, \dots, x_{t-(k-1)s}), \qquad
        \phi = \Bigl\{ \prod_j z_{i_j} \;:\; i_1 \le \dots \le i_d,\; 1 \le d \le p \Bigr\}

    Nothing is trained; it goes with the method ``ridge``. Degree 1 is the linear forecaster.
    With ``coupling = "local"`` the same polynomial serves every site, which is what translation
    symmetry demands. ``hidden`` and ``layers`` play no role. State: the last :math:`(k-1) s`
    inputs ``(1, batch, (k-1) s num_inputs)``; before the first input lies its copy.
    """

    STEPWISE = True

    class Options(Config):
        """Degree, number of delayed inputs counting the present one, steps between them."""

        degree: int = Field(2, ge=1, le=6)
        delays: int = Field(1, ge=1)
        stride: int = Field(1, ge=1)

    def __init__(
        self, num_inputs: int, hidden: int, layers: int, options: "Polynomial.Options"
    ) -> None:
        super().__init__()
        self.delays, self.stride = options.delays, options.stride
        num_variables = num_inputs * options.delays
        self.num_outputs = num_monomials(num_variables, options.degree)
        if self.num_outputs > MOST_FEATURES:
            raise InputError(
                f"model.options.degree: given {options.degree}, which makes {self.num_outputs} "
                f"monomials of {num_variables} inputs; at most {MOST_FEATURES} are possible: give "
                'a smaller degree, fewer delays, or coupling = "local" with a smaller halo'
            )
        # a monomial is one variable times a monomial of one degree less with no smaller index
        self.degree = options.degree
        below: dict[tuple[int, ...], int] = {(index,): index for index in range(num_variables)}
        for degree in range(2, options.degree + 1):
            chosen = list(itertools.combinations_with_replacement(range(num_variables), degree))
            first = torch.tensor([indices[0] for indices in chosen])
            rest = torch.tensor([below[indices[1:]] for indices in chosen])
            self.register_buffer(f"first{degree}", first, persistent=False)
            self.register_buffer(f"rest{degree}", rest, persistent=False)
            below = {indices: place for place, indices in enumerate(chosen)}

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return the monomials ``(batch, time, num_outputs)`` and the inputs to remember."""
        batch, time, width = inputs.shape
        memory = (self.delays - 1) * self.stride
        if state is None:
            past = inputs[:, :1].expand(batch, memory, width)
        else:
            past = state[0][0].reshape(batch, memory, width)
        known = torch.cat([past, inputs], 1)
        shifts = [memory - delay * self.stride for delay in range(self.delays)]
        variables = torch.cat([known[:, shift : shift + time] for shift in shifts], -1)
        powers = [variables]
        for degree in range(2, self.degree + 1):
            first, rest = self.get_buffer(f"first{degree}"), self.get_buffer(f"rest{degree}")
            powers.append(variables[..., first] * powers[-1][..., rest])
        return torch.cat(powers, -1), (known[:, time:].reshape(1, batch, memory * width),)


def num_monomials(num_variables: int, degree: int) -> int:
    """Return the number of monomials of degree 1 to ``degree``."""
    total, count = 0, 1
    for power in range(1, degree + 1):
        count = count * (num_variables + power - 1) // power
        total += count
    return total
