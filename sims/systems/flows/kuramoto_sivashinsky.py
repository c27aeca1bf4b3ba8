"""The Kuramoto–Sivashinsky equation."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from sims import kernels
from sims.kernels.stability import is_stable, largest_stable_step
from sims.schemes.etd_multistep import ETDMultistep
from sims.schemes.etdrk4 import ETDRK4
from sims.systems.system import Exponent, Kernel, Stepper, System

MEASURED = "tangent dynamics (docs/results/lyapunov.md)"


class KuramotoSivashinskyParameters(Config):
    """Parameters of the Kuramoto–Sivashinsky equation.

    num_points
        N, number of grid points, even; three per unit of length resolve the equation.
    domain_length
        L, the period.
    """

    num_points: Annotated[int, Field(ge=8, multiple_of=2)]
    domain_length: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class KuramotoSivashinsky(System):
    """u_t = −u u_x − u_xx − u_xxxx, periodic with period L.

    Long waves grow, short waves are damped, and steepening carries energy between them: waves
    of wavenumber below 1 are unstable, ⌊L / 2π⌋ of them. The spatial mean is conserved and kept
    at zero; on the attractor ⟨u_x²⟩ = ⟨u_xx²⟩.

    The grid x_j = j L / N, j = 0 … N − 1, leaves out the periodic end point. Steps are taken on
    the coefficients û_n = Σ_j u_j exp(−2πi n j / N), n = 0 … N/2, of the real transform:

        dû/dt = (q² − q⁴) û − (i q / 2) F[u²],   q = 2π n / L

    without dealiasing, which the strong damping makes needless. A step of 0.25 is usual with
    ``etdrk4``; the multistep schemes ``etdab4`` and ``etd_pece`` reach the same error with fewer
    evaluations of the nonlinear part, but their steps are limited (about 0.09 and 0.3). They
    start with three steps of ``etdrk4``, at every call of :meth:`advance` anew.

    References: Y. Kuramoto, T. Tsuzuki, Prog. Theor. Phys. 55, 356 (1976),
    doi:10.1143/PTP.55.356; G. I. Sivashinsky, Acta Astronautica 4, 1177 (1977),
    doi:10.1016/0094-5765(77)90096-0.
    """

    name = "kuramoto_sivashinsky"
    schemes = ("etdrk4", "etdab4", "etd_pece")
    Parameters = KuramotoSivashinskyParameters

    EXPONENTS: ClassVar[dict[float, Exponent]] = {
        22.0: Exponent(
            0.0488,
            0.0006,
            f"{MEASURED}; 0.048 in Cvitanović et al. 2010, doi:10.1137/070705623",
        ),
        36.0: Exponent(
            0.0765,
            0.0007,
            f"{MEASURED}; 0.080 in Edson et al. 2019, doi:10.1017/S1446181119000105",
        ),
        60.0: Exponent(0.0857, 0.0007, MEASURED),
        100.0: Exponent(0.0916, 0.0013, MEASURED),
        200.0: Exponent(
            0.0940,
            0.0017,
            f"{MEASURED}; 0.094 in Vlachas et al. 2020, doi:10.1016/j.neunet.2020.02.016",
        ),
    }
    """L → largest Lyapunov exponent."""

    parameters: KuramotoSivashinskyParameters

    def __init__(
        self,
        parameters: KuramotoSivashinskyParameters,
        scheme: str | None = None,
        kernel: Kernel = "auto",
    ) -> None:
        super().__init__(parameters, scheme, kernel)
        num_points = parameters.num_points
        self.wavenumbers = 2 * np.pi * np.arange(num_points // 2 + 1) / parameters.domain_length
        self.linear = self.wavenumbers**2 - self.wavenumbers**4
        self.gradient = self.wavenumbers.copy()
        self.gradient[-1] = 0  # the highest wave has no first derivative on the grid

    def kernel_obstacle(self) -> str | None:
        """Return why the compiled kernel, which takes powers of two, cannot be used."""
        return kernels.kuramoto_sivashinsky.size_obstacle(self.num_components) or kernels.obstacle()

    def step_obstacle(self, step: float) -> str | None:
        """Return that a multistep scheme is unstable with this step, and which one is not."""
        if self.scheme == "etdrk4" or is_stable(self.scheme, step, self.linear, self.gradient):
            return None
        limit = largest_stable_step(self.scheme, self.linear, self.gradient, step)
        return (
            f"is unstable with {self.scheme}; steps up to {limit:.3g} are stable for these "
            'parameters, and the scheme "etdrk4" takes larger ones'
        )

    @property
    def num_components(self) -> int:
        """N."""
        return self.parameters.num_points

    def nonlinear(self, u_hat: np.ndarray) -> np.ndarray:
        """Return the coefficients of −u u_x = −(u²)_x / 2; modes along the last axis."""
        return -0.5j * self.gradient * np.fft.rfft(self.from_working(u_hat) ** 2)

    def initial_state(self, random: np.random.Generator) -> np.ndarray:
        """Return a random mix of the unstable waves with zero mean and unit variance."""
        noise = np.fft.rfft(random.random(self.num_components))
        unstable = (self.wavenumbers > 0) & ((self.wavenumbers < 1) | (self._modes == 1))
        state = np.fft.irfft(noise * unstable, n=self.num_components)
        return state / np.sqrt(np.mean(state**2))

    @property
    def _modes(self) -> np.ndarray:
        return np.arange(self.num_components // 2 + 1)

    def to_working(self, states: np.ndarray) -> np.ndarray:
        """Return the Fourier coefficients of grid values."""
        return np.fft.rfft(states)

    def from_working(self, working: np.ndarray) -> np.ndarray:
        """Return the grid values of Fourier coefficients."""
        return np.fft.irfft(working, n=self.num_components)

    def stepper(self, step: float) -> Stepper:
        """Return an exponential step on Fourier coefficients."""
        return self._stepper(self.nonlinear, step)

    def linearised_stepper(self, step: float) -> Stepper:
        """Return a step of coefficients and of those of their tangent vectors.

        The linear part acts on both alike; −(u²)_x / 2 has the derivative −(u v)_x.
        """
        return self._stepper(self._linearised_nonlinear, step)

    def _linearised_nonlinear(self, joint: np.ndarray) -> np.ndarray:
        fields = self.from_working(joint)
        u, v = fields[:, :1], fields[:, 1:]
        products = np.concatenate([u**2, 2 * u * v], axis=1)
        return -0.5j * self.gradient * np.fft.rfft(products)

    @property
    def num_tangents(self) -> int:
        """N − 1: the mean is conserved, and a change of it only lets the field travel."""
        return self.num_components - 1

    def initial_tangents(self, random: np.random.Generator, num_vectors: int) -> np.ndarray:
        """Return the coefficients of random fields of zero mean."""
        fields = random.standard_normal((num_vectors, self.num_components))
        return self.restrict_tangents(self.to_working(fields))

    def restrict_tangents(self, vectors: np.ndarray) -> np.ndarray:
        """Return coefficients without a mean, which would neither grow nor decay.

        Orthogonalisation brings it back in the last digit, and from there it would take over the
        vectors that decay.
        """
        restricted = vectors.copy()
        restricted[..., 0] = 0
        return restricted

    def _stepper(self, nonlinear: Stepper, step: float) -> Stepper:
        if self.scheme == "etdrk4":
            return ETDRK4(self.linear, nonlinear, step)
        return ETDMultistep(self.linear, nonlinear, step, corrector=self.scheme == "etd_pece")

    def advance_compiled(
        self,
        states: np.ndarray,
        step: float,
        num_steps: int,
        save_every: int,
        out: np.ndarray[Any, Any] | None,
    ) -> None:
        """Do what :meth:`System.advance` says by the compiled kernel."""
        kernels.kuramoto_sivashinsky_ensemble(
            states,
            self.parameters.domain_length,
            step,
            num_steps,
            save_every,
            out,
            self.scheme,
        )

    def reference_lyapunov_exponent(self) -> Exponent | None:
        """Return the published exponent of this period."""
        return self.EXPONENTS.get(self.parameters.domain_length)
