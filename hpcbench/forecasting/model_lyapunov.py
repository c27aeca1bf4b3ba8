"""Lyapunov exponents of a trained forecaster that runs free, as those of any other map."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.autograd.forward_ad as forward
from torch import Tensor

from hpcbench.errors import InputError
from hpcbench.forecasting.lyapunov_dimension import kaplan_yorke_dimension, kolmogorov_sinai_entropy
from hpcbench.models.forecaster import Forecaster, State

Map = Callable[[Tensor], Tensor]
"""One step of independent states: ``(row, variable)`` float64 in and out, differentiable."""


@dataclass(frozen=True)
class LyapunovSpectrum:
    """Lyapunov exponents of a map, per unit of model time.

    rates
        Growth rates of the tangent vectors of each start, ``(start, exponent)``; minus infinity
        for directions that vanish at once, such as the oldest sample of a delay line.
    """

    rates: np.ndarray

    @property
    def exponents(self) -> np.ndarray:
        """Means over starts, descending, ``(exponent,)``."""
        return np.asarray(self.rates.mean(axis=0)[self._order])

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of each exponent; not a number with a single start."""
        number = len(self.rates)
        if number < 2:
            return np.full(self.rates.shape[1], np.nan)
        # a direction that vanishes at once has no scatter to speak of
        finite = np.where(np.isfinite(self.rates), self.rates, 0.0)
        return np.asarray(finite.std(axis=0, ddof=1)[self._order] / np.sqrt(number))

    @property
    def _order(self) -> np.ndarray:
        return np.argsort(-self.rates.mean(axis=0), kind="stable")

    @property
    def dimension(self) -> float:
        """Kaplan–Yorke dimension."""
        return kaplan_yorke_dimension(self.exponents)

    @property
    def entropy(self) -> float:
        """Kolmogorov–Sinai entropy, as the sum of the positive exponents."""
        return kolmogorov_sinai_entropy(self.exponents)


def lyapunov_spectrum(
    step: Map,
    states: Tensor,
    num_exponents: int,
    num_steps: int,
    interval: float = 1.0,
    transient: int = 0,
    steps_between_qr: int = 1,
    seed: int = 0,
) -> LyapunovSpectrum:
    r"""Return the leading Lyapunov exponents of a map by tangent vectors and QR.

    .. math::

        J_t Q_t = Q_{t+1} R_{t+1}, \qquad
        \lambda_j = \frac{1}{T \Delta t} \sum_t \ln |R_{t,jj}|

    with :math:`J_t` the Jacobian of the step, applied by forward-mode differentiation and never
    formed (Benettin et al. 1980). Several starts run side by side and are averaged.

    Parameters
    ----------
    step
        The map.
    states
        Where it starts, ``(start, variable)`` float64.
    num_exponents
        Number of exponents, at most the number of variables.
    num_steps
        Steps that are measured.
    interval
        Model time of a step.
    transient
        Steps before, in which states find their attractor and vectors their directions.
    steps_between_qr
        Steps between two orthonormalisations; few enough that the vectors stay apart.
    seed
        Of the first tangent vectors.

    Reference: Benettin, Galgani, Giorgilli and Strelcyn (1980), Meccanica 15, 9,
    doi:10.1007/BF02128236.
    """
    assert states.dtype == torch.float64
    assert 1 <= num_exponents <= states.shape[1]
    random = torch.Generator().manual_seed(seed)
    tangents = torch.randn(*states.shape, num_exponents, dtype=torch.float64, generator=random)
    tangents = torch.linalg.qr(tangents.to(states.device)).Q
    growth = torch.zeros(len(states), num_exponents, dtype=torch.float64, device=states.device)
    for done in range(1, transient + num_steps + 1):
        states, tangents = tangent_step(step, states, tangents)
        if done % steps_between_qr == 0 or done in (transient, transient + num_steps):
            tangents, triangle = torch.linalg.qr(tangents)
            if done > transient:
                growth += triangle.diagonal(dim1=1, dim2=2).abs().log()
    return LyapunovSpectrum((growth / (num_steps * interval)).cpu().numpy())


@torch.no_grad()
def tangent_step(step: Map, states: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next states and the Jacobian times the tangents.

    The tangent vectors of a start are rows of one batch, each with a copy of its state.

    Parameters
    ----------
    step
        The map.
    states
        ``(start, variable)``.
    tangents
        ``(start, variable, vector)``.
    """
    number = tangents.shape[2]
    rows = states.repeat_interleave(number, dim=0)
    directions = tangents.transpose(1, 2).reshape(rows.shape)
    with forward.dual_level(), warnings.catch_warnings():
        # at its first use, PyTorch warns of a part of its own that it uses
        warnings.filterwarnings("ignore", r"`torch\.jit\.script` is", DeprecationWarning)
        following, moved = forward.unpack_dual(step(forward.make_dual(rows, directions)))
    if moved is None:  # the step does not depend on its state
        moved = torch.zeros_like(following)
    return following[::number], moved.unflatten(0, (-1, number)).transpose(1, 2)


class ClosedLoop:
    r"""A forecaster fed with its own forecasts, as a map of one vector.

    The vector holds the normalised state and the state carried by the cell,

    .. math::

        (x_t, s_{t-1}) \mapsto (x_{t+1}, s_t) ,

    so it has as many exponents as both have entries: of a network that has learned a system of D
    components, the leading D are to be compared with the system's, and the others are strongly
    negative. Weights are float64.

    Parameters
    ----------
    forecaster
        The trained forecaster; a copy is made.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        self.forecaster = copy.deepcopy(forecaster)
        self.forecaster.set_dtype(torch.float64)
        self.num_components = 0
        self.shapes: list[torch.Size] = []

    @torch.no_grad()
    def start(self, warm: np.ndarray) -> Tensor:
        """Return the vectors after a warm-up on true states ``(start, time, component)``."""
        device = self.forecaster.scale_mean.device
        normalised = self.forecaster.normalise(torch.from_numpy(warm).to(device))
        scaled, carried = self.forecaster(normalised, None)
        present = self.forecaster.next_state(normalised[:, -1:], scaled[:, -1:])
        self.num_components = present.shape[-1]
        # the batch axis has a row per site with local coupling, else one
        self.shapes = [part.unflatten(1, (len(warm), -1))[:, 0].shape for part in carried]
        return self._join(present, carried)

    def __call__(self, rows: Tensor) -> Tensor:
        """Advance vectors ``(row, variable)`` by one step."""
        present, carried = self._split(rows)
        scaled, carried = self.forecaster(present, carried)
        return self._join(self.forecaster.next_state(present, scaled), carried)

    def _join(self, present: Tensor, carried: State) -> Tensor:
        parts = [
            part.unflatten(1, (len(present), -1)).transpose(0, 1).flatten(1) for part in carried
        ]
        return torch.cat([present[:, 0], *parts], dim=1)

    def _split(self, rows: Tensor) -> tuple[Tensor, State]:
        sizes = [self.num_components, *(shape.numel() for shape in self.shapes)]
        present, *parts = rows.split(sizes, dim=1)
        carried = tuple(
            part.unflatten(1, shape).transpose(0, 1).flatten(1, 2)
            for part, shape in zip(parts, self.shapes, strict=True)
        )
        return present[:, None], carried


def forecaster_rates(
    forecaster: Forecaster,
    warm: np.ndarray,
    num_exponents: int,
    num_steps: int,
    sample_interval: float,
    transient: int = 0,
) -> np.ndarray:
    """Return the growth rates in a forecaster that runs free after a warm-up.

    They are ``(start, exponent)``, for :class:`LyapunovSpectrum`; no start gives no row.

    Parameters
    ----------
    forecaster
        The trained forecaster.
    warm
        True states ``(start, time, component)`` in the system's units.
    num_exponents
        Number of exponents, at most the number of variables of the closed loop.
    num_steps, transient
        Steps that are measured, and steps before them.
    sample_interval
        Model time of a step.

    Raises
    ------
    InputError
        More exponents are asked for than the closed loop has variables.
    """
    loop = ClosedLoop(forecaster)
    states = loop.start(warm)
    if num_exponents > states.shape[1]:
        raise InputError(
            f"forecast.attractor.exponents: given {num_exponents}, but the model in closed loop "
            f"has {states.shape[1]} variables; give 1 to {states.shape[1]}"
        )
    if len(states) == 0:
        return np.empty((0, num_exponents))
    return lyapunov_spectrum(
        loop, states, num_exponents, num_steps, sample_interval, transient=transient
    ).rates
