"""Rates of one large trajectory, on one rank and on all ranks of the job in turns."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcbench.parallel.ranks import Ranks
from sims.space.ring import STEPS_PER_EXCHANGE
from sims.space.shared_state import shared_state
from sims.systems.flows.kuramoto_sivashinsky import (
    KuramotoSivashinsky,
    KuramotoSivashinskyParameters,
)
from sims.systems.flows.lorenz96 import Lorenz96, Lorenz96Parameters
from sims.systems.system import System

SAMPLE_SECONDS = 0.2
"""About the time of one sample on one rank."""


@dataclass(frozen=True)
class Large:
    """One large trajectory to be timed.

    step
        h in model time units.
    num_steps
        The fewest that are worth timing at once.
    """

    name: str
    system: System
    step: float
    num_steps: int


@dataclass(frozen=True)
class Sample:
    """Updates per second of one round, and the first rank's share of time in exchanges."""

    rate: float
    exchange: float


def large_trajectories(num_sites: int, num_points: int) -> list[Large]:
    """Return a Lorenz-96 ring and a Kuramoto–Sivashinsky field of these sizes."""
    ring = Lorenz96(Lorenz96Parameters(num_sites=num_sites, forcing=8.0))
    length = 22.0 * num_points / 64
    parameters = KuramotoSivashinskyParameters(num_points=num_points, domain_length=length)
    return [
        Large(f"lorenz96 ring of {num_sites}", ring, 0.01, STEPS_PER_EXCHANGE),
        Large(
            f"kuramoto_sivashinsky {num_points} points", KuramotoSivashinsky(parameters), 0.25, 1
        ),
    ]


class _TimedTrajectory:
    """A trajectory in shares over some ranks, and the samples of its rate."""

    def __init__(self, large: Large, state: np.ndarray[Any, Any], ranks: Ranks) -> None:
        self.large, self.ranks = large, ranks
        self.shared = shared_state(large.system, large.step, ranks)
        begin = sum(self.shared.shares[: ranks.rank])
        end = begin + self.shared.shares[ranks.rank]
        self.shared.load(self.shared.arrange(state)[begin:end])
        self.samples: list[Sample] = []

    def seconds(self, num_steps: int) -> float:
        """Advance and return the time until all ranks are done."""
        self.ranks.gather(None)
        begin = time.perf_counter()
        self.shared.advance(num_steps)
        self.ranks.gather(None)
        return time.perf_counter() - begin

    def take_sample(self, num_steps: int) -> None:
        """Time some steps."""
        before = self.shared.exchange_seconds
        seconds = self.seconds(num_steps)
        updates = self.large.system.num_components * num_steps
        exchange = (self.shared.exchange_seconds - before) / seconds
        self.samples.append(Sample(updates / seconds, exchange))


def measure(large: Large, ranks: Ranks, num_rounds: int) -> dict[int, list[Sample]]:
    """Return number of ranks → samples, one per round: of the first rank alone, and of all.

    In each round both have their turn, and the others sleep while the first rank works alone.
    Times are those of the clock, because a rank that waits keeps its core busy. Called by every
    rank; the first has all samples.
    """
    state = large.system.initial_states(1, range(1))[0]
    together = _TimedTrajectory(large, state, ranks)
    alone = None
    if ranks.size > 1:
        one = Ranks(ranks.comm.Split(ranks.rank))
        alone = _TimedTrajectory(large, state, one) if ranks.is_first else None
    calibrated = (alone or together) if ranks.is_first or ranks.size == 1 else None
    count = large.num_steps
    if calibrated:
        calibrated.seconds(count)  # first touches of memory
        count *= math.ceil(SAMPLE_SECONDS / calibrated.seconds(count))
    _sleep_until_all_are_here(ranks)
    count = ranks.gather(count)[0]
    for _ in range(num_rounds):
        if alone:
            alone.take_sample(count)
        _sleep_until_all_are_here(ranks)
        together.take_sample(count)
    teams = [together] if alone is None else [alone, together]
    return {team.ranks.size: team.samples for team in teams}


def _sleep_until_all_are_here(ranks: Ranks) -> None:
    if ranks.size == 1:
        return
    here = ranks.comm.Ibarrier()
    while not here.Test():
        time.sleep(0.001)
