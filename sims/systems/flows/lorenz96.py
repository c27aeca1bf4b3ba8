"""The Lorenz-96 system."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims import kernels
from sims.systems.flows.flow import Flow
from sims.systems.system import Exponent


class Lorenz96Parameters(Config):
    """Parameters of the Lorenz-96 system.

    num_sites
        N, number of sites on the ring; from 4 on all terms of the equation are distinct.
    forcing
        F.
    """

    num_sites: Annotated[int, Field(ge=4)]
    forcing: Annotated[float, Field(allow_inf_nan=False)]


class Lorenz96(Flow):
    """dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F, with i modulo N.

    A ring of N sites with advection that conserves Σ x_i², damping and constant forcing. On the
    attractor the energy balance ⟨x²⟩ = F ⟨x⟩ holds exactly and the Lyapunov exponents add up to
    −N. Chaotic for N = 40 and F = 8; a site changes by its own size in about 0.1 time units.

    Reference: E. N. Lorenz, Predictability: a problem partly solved, ECMWF Seminar on
    Predictability (1996).
    """

    name = "lorenz96"
    Parameters = Lorenz96Parameters

    EXPONENTS: ClassVar[dict[tuple[int, float], Exponent]] = {
        (40, 8.0): Exponent(
            1.698,
            0.014,
            "tangent dynamics (docs/results/lyapunov.md); 1.68 in Vlachas et al. 2020, "
            "doi:10.1016/j.neunet.2020.02.016",
        ),
        (40, 10.0): Exponent(
            2.304,
            0.012,
            "tangent dynamics (docs/results/lyapunov.md); 2.27 in Vlachas et al. 2020, "
            "doi:10.1016/j.neunet.2020.02.016",
        ),
    }
    """(N, F) → largest Lyapunov exponent."""

    parameters: Lorenz96Parameters

    def kernel_obstacle(self) -> str | None:
        """Return why the compiled library cannot be used here; it takes rings of any size."""
        return kernels.obstacle()

    @property
    def num_components(self) -> int:
        """N."""
        return self.parameters.num_sites

    def rhs(self, x: np.ndarray) -> np.ndarray:
        """Return dx/dt; sites along the last axis."""
        after, before, second_before = (np.roll(x, shift, axis=-1) for shift in (-1, 1, 2))
        return (after - second_before) * before - x + self.parameters.forcing

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the derivative of the right-hand side along v."""
        after, before, second_before = (np.roll(x, shift, axis=-1) for shift in (-1, 1, 2))
        v_after, v_before, v_second = (np.roll(v, shift, axis=-1) for shift in (-1, 1, 2))
        return (v_after - v_second) * before + (after - second_before) * v_before - v

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return the (unstable) fixed point x = F with noise of unit width on every site."""
        return self.parameters.forcing + random.random(self.parameters.num_sites) - 0.5

    def advance_compiled(
        self,
        states: np.ndarray,
        step: float,
        num_steps: int,
        save_every: int,
        out: np.ndarray[Any, Any] | None,
    ) -> None:
        """Do what :meth:`System.advance` says by the compiled kernel."""
        kernels.lorenz96_ensemble(states, self.parameters.forcing, step, num_steps, save_every, out)

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return the published exponent of these parameters."""
        return self.EXPONENTS.get((self.parameters.num_sites, self.parameters.forcing))
