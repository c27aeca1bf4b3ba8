"""Lyapunov spectra on several ranks are those of one."""

import numpy as np
import pytest
from mpi4py import MPI

from hpcbench.parallel.ranks import Ranks
from sims.lyapunov.spectrum import Schedule, lyapunov_spectrum
from sims.systems.flows.lorenz96 import Lorenz96, Lorenz96Parameters

pytestmark = pytest.mark.mpi


def test_members_are_the_same_on_any_number_of_ranks() -> None:
    system = Lorenz96(Lorenz96Parameters(num_sites=12, forcing=8.0))
    run = Schedule(spin_up=100, transient=20, measured=100, between=10)
    shared = lyapunov_spectrum(system, 0.01, 12, 5, 1, run, Ranks(MPI.COMM_WORLD))
    alone = lyapunov_spectrum(system, 0.01, 12, 5, 1, run, Ranks())
    np.testing.assert_array_equal(shared.rates, alone.rates)
