"""Random numbers that are part of a state, so that a trajectory can be continued anywhere."""

import numpy as np

BITS = 48
MULTIPLIER = np.uint64(0x5DEECE66D)
INCREMENT = np.uint64(0xB)
MASK = np.uint64((1 << BITS) - 1)


def random_number(random: np.random.Generator) -> float:
    """Return a first number for :func:`next_number`: a multiple of 2⁻⁴⁸ from 0 up to below 1."""
    return float(random.integers(1 << BITS)) / (1 << BITS)


def next_number(w: np.ndarray) -> np.ndarray:
    """Return the number after w in a pseudo-random sequence, uniform from 0 up to below 1.

        k = 2⁴⁸ w,   k ← (25214903917 k + 11) mod 2⁴⁸

    This is the sequence of the C library's ``drand48``, of period 2⁴⁸. A float64 holds a member of
    it exactly, so it can be kept among the components of a state.

    Reference: D. E. Knuth, The Art of Computer Programming 2, section 3.3.4 (1998).
    """
    k = np.rint(w * (1 << BITS)).astype(np.uint64)
    # products wrap around modulo 2⁶⁴, which keeps the 48 bits that count
    return ((k * MULTIPLIER + INCREMENT) & MASK).astype(float) / (1 << BITS)
