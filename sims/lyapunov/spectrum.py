"""Lyapunov spectra of the systems, by tangent dynamics over the members of an ensemble."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpcbench.errors import InputError
from hpcbench.forecasting.lyapunov_dimension import kaplan_yorke_dimension
from hpcbench.parallel.ranks import Ranks, share
from sims.systems.seeding import member_generator
from sims.systems.system import System

ONE_STEP_SCHEMES = ("rk4", "euler", "etdrk4", "iteration", "exact")
"""Schemes whose tangent vectors need no memory of the steps before."""


@dataclass(frozen=True)
class Schedule:
    """How long a spectrum is measured, in steps.

    spin_up
        Before anything else, for the states.
    transient
        With tangent vectors, which take their directions meanwhile.
    measured
        Counted.
    between
        From one orthogonalisation to the next; divides ``transient`` and ``measured``.
    """

    spin_up: int
    transient: int
    measured: int
    between: int


@dataclass(frozen=True)
class Spectrum:
    """Lyapunov exponents per model time unit, from independent members.

    rates
        Mean growth rates along the trajectory of each member, ``(member, exponent)``, largest
        first.
    """

    rates: np.ndarray

    @property
    def exponents(self) -> np.ndarray:
        """Means over members, ``(exponent,)``."""
        return np.asarray(self.rates.mean(axis=0))

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of every exponent."""
        return _standard_error(self.rates)

    @property
    def sum(self) -> tuple[float, float]:
        """Sum of the exponents and its standard error."""
        sums = self.rates.sum(axis=1)
        return float(sums.mean()), float(_standard_error(sums))

    @property
    def dimension(self) -> tuple[float, float]:
        """Kaplan–Yorke dimension and its standard error, by leaving out one member at a time.

        Not a number when the exponents asked for do not add up to less than zero.
        """
        number = len(self.rates)
        without = (self.rates.sum(axis=0) - self.rates) / (number - 1)
        values = np.array([kaplan_yorke_dimension(exponents) for exponents in without])
        error = np.sqrt((number - 1) * values.var())
        return kaplan_yorke_dimension(self.exponents), float(error)


def _standard_error(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def lyapunov_spectrum(
    system: System,
    step: float,
    num_exponents: int,
    num_members: int,
    seed: int,
    schedule: Schedule,
    ranks: Ranks,
    advanced: Callable[[int], None] = lambda steps: None,
) -> Spectrum:
    """Return the leading exponents of a system, from members that the ranks share.

        v ← DΦ(x) v,  x ← Φ(x);   every ``between`` steps V = Q R, V ← Q;   λ_j = Σ ln |R_jj| / T

    with Φ the discrete step. Called by every rank; members do not depend on the number of ranks.

    system, step
        Φ. Its mean is taken out of the tangent vectors where it is conserved
        (Kuramoto–Sivashinsky): it would add an exponent of zero.
    num_exponents
        At most ``system.num_tangents``; all of them for the sum.
    num_members
        Independent trajectories, at least two, over which errors are estimated.
    seed
        Of the initial states and tangent vectors.
    advanced
        Told the number of steps that were taken.

    Vectors that decay faster than e^{−36} of the leading one between two orthogonalisations end in
    its rounding errors: exponents are found down to λ_1 − 36 / (``between`` h).

    Raises :class:`InputError` for a number of exponents or a scheme that cannot be.

    References: G. Benettin et al., Meccanica 15, 9 (1980), doi:10.1007/BF02128236; I. Shimada,
    T. Nagashima, Prog. Theor. Phys. 61, 1605 (1979), doi:10.1143/PTP.61.1605.
    """
    _check(system, num_exponents, num_members, ranks)
    members = share(num_members, ranks.rank, ranks.size)
    states = system.initial_states(seed, members)
    system.advance(states, step, schedule.spin_up, max(schedule.spin_up, 1))
    advanced(schedule.spin_up)
    working = system.to_working(states)
    vectors = np.stack([_first_vectors(system, seed, m, num_exponents) for m in members])
    vectors, _ = _orthonormal(vectors)
    take_step = system.linearised_stepper(step)
    growth = np.zeros((len(members), num_exponents))
    for done in range(0, schedule.transient + schedule.measured, schedule.between):
        joint = np.concatenate([working[:, None], vectors], axis=1)
        for _ in range(schedule.between):
            joint = take_step(joint)
        working = joint[:, 0]
        if not np.isfinite(working).all():
            raise InputError(
                f"integration.step: {step} is too large for {system.name} with these parameters: "
                "a trajectory grew beyond all numbers; give a smaller step"
            )
        vectors, sizes = _orthonormal(system.restrict_tangents(joint[:, 1:]))
        if done >= schedule.transient:
            with np.errstate(divide="ignore"):  # a direction may vanish at once
                growth += np.log(sizes)
        advanced(schedule.between)
    rates = growth / (schedule.measured * step)
    return Spectrum(np.concatenate(ranks.gather(rates)))


def _check(system: System, num_exponents: int, num_members: int, ranks: Ranks) -> None:
    most = system.num_tangents
    if not 1 <= num_exponents <= most:
        raise InputError(
            f"--exponents: given {num_exponents}; {system.name} with these parameters has "
            f"{most}; valid: 1 to {most}"
        )
    least = max(2, ranks.size)
    if num_members < least:
        raise InputError(
            f"--members: given {num_members}; at least {least} are needed, two for an error and "
            "one per rank"
        )
    if system.scheme not in ONE_STEP_SCHEMES:
        raise InputError(
            f'integration.scheme: given "{system.scheme}", whose tangent has a memory of past '
            "steps; the exponents belong to the equation, not to the scheme, so take a one-step "
            f'scheme: "{system.schemes[0]}" (--integration.scheme {system.schemes[0]})'
        )


def _first_vectors(system: System, seed: int, member: int, number: int) -> np.ndarray:
    # not the numbers that made the state
    random = member_generator(seed ^ (1 << 63), member)
    return system.initial_tangents(random, number)


def _orthonormal(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return orthonormal vectors of the same leading spans, and what each has grown by.

    vectors
        ``(member, vector, component)``; complex components count as two real ones.
    """
    shape = vectors.shape
    real = np.ascontiguousarray(vectors).view(float).reshape(*shape[:2], -1)
    q, r = np.linalg.qr(np.swapaxes(real, 1, 2))
    back = np.ascontiguousarray(np.swapaxes(q, 1, 2)).view(vectors.dtype)
    return back.reshape(shape), np.abs(np.diagonal(r, axis1=1, axis2=2))
