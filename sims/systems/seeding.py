"""Random numbers of a member that depend on the seed and the member, on nothing else."""

import numpy as np


def member_generator(seed: int, member: int) -> np.random.Generator:
    """Return the generator of one ensemble member: Philox with key (seed, member).

    A counter-based generator has no state to pass between members, so any rank can start any
    member.

    Reference: J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011,
    doi:10.1145/2063384.2063405.
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed, member], dtype=np.uint64)))
