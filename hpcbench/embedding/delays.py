"""Delay coordinates and phase-shifted sub-series of states ``(..., time, component)``."""

import numpy as np


def delay_vectors(states: np.ndarray, num_delays: int, delay: int) -> np.ndarray:
    r"""Return delay vectors, newest sample first, ``(..., time - (m - 1) τ, m * component)``.

    .. math::

        \tilde x_t = [x_t, x_{t-\tau}, \dots, x_{t-(m-1)\tau}]

    The first vector belongs to sample :math:`(m-1)\tau`, the first one whose past is known.

    Parameters
    ----------
    states
        ``(..., time, component)`` with more than :math:`(m-1)\tau` samples.
    num_delays
        Number m of samples in a vector.
    delay
        Samples τ between two of them.

    Reference: Takens (1981), Lecture Notes in Mathematics 898, doi:10.1007/BFb0091924.
    """
    reach = (num_delays - 1) * delay
    num_vectors = states.shape[-2] - reach
    assert num_vectors > 0
    firsts = range(reach, -1, -delay)
    return np.concatenate([states[..., f : f + num_vectors, :] for f in firsts], axis=-1)


def subsample_phases(states: np.ndarray, stride: int) -> np.ndarray:
    """Return all phase-shifted sub-series, ``(phase, ..., time // stride, component)``.

    Every ``stride``-th sample, once from each possible first one: a coarser sampling interval
    without losing data but for the fewer than ``stride`` samples at the end.
    """
    length = states.shape[-2] // stride
    phases = [states[..., p : p + (length - 1) * stride + 1 : stride, :] for p in range(stride)]
    return np.stack(phases)
