"""Compiled kernels for Lorenz-96 and Kuramoto-Sivashinsky: trajectories are the SIMD lanes.

The C sources are compiled by `build` when the package is installed, once per instruction set;
`library` loads the widest one that the processor runs. The systems in `sims.systems.flows` have
NumPy steppers of the same equations, which the kernels are tested against.
"""

from sims.kernels import kuramoto_sivashinsky, lorenz96
from sims.kernels.arrays import BlownUp
from sims.kernels.kuramoto_sivashinsky import kuramoto_sivashinsky_ensemble
from sims.kernels.library import obstacle, variant
from sims.kernels.lorenz96 import (
    HALO_LEFT,
    HALO_RIGHT,
    lorenz96_ensemble,
    lorenz96_ring,
    ring_advance,
)
from sims.kernels.rows import write_rows
from sims.kernels.sums import add_sums

MEMBER_GROUP = {
    "lorenz96": lorenz96.MEMBER_GROUP,
    "kuramoto_sivashinsky": kuramoto_sivashinsky.MEMBER_GROUP,
}
"""System → trajectories that must stay together, at multiples of this number, for equal bits."""

__all__ = [
    "HALO_LEFT",
    "HALO_RIGHT",
    "MEMBER_GROUP",
    "BlownUp",
    "add_sums",
    "kuramoto_sivashinsky_ensemble",
    "lorenz96_ensemble",
    "lorenz96_ring",
    "obstacle",
    "ring_advance",
    "variant",
    "write_rows",
]
