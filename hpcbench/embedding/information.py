"""Average mutual information between a series and its past, and the delay it suggests."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

PROMINENCE = 0.01
"""Rise after a minimum, as a share of the entropy, below which it is taken for noise."""


def equiprobable_bins(rows: np.ndarray, num_bins: int) -> np.ndarray:
    """Return the bin ``0 ... num_bins - 1`` of every value, each bin holding as many values.

    Only the order of the values enters, so any increasing change of units gives the same bins.
    """
    rows = np.asarray(rows)
    ranks = np.empty(rows.size, dtype=np.int64)
    ranks[np.argsort(rows, axis=None, kind="stable")] = np.arange(rows.size)
    return (ranks * num_bins // rows.size).reshape(rows.shape)


def mutual_information(rows: np.ndarray, max_lag: int, num_bins: int = 32) -> np.ndarray:
    r"""Return the average mutual information at lags ``0 ... max_lag`` in nats.

    .. math::

        I(k) = \sum_{ij} p_{ij} \ln \frac{p_{ij}}{p_i\, p_j}

    with :math:`p_{ij}` the share of pairs :math:`(x_t, x_{t+k})` in bins i and j. ``I(0)`` is the
    entropy, ``ln(num_bins)``. For n independent pairs the estimate is not zero but about
    ``(num_bins - 1)² / (2 n)``.

    Parameters
    ----------
    rows
        ``(row, time)`` with more than ``max_lag`` samples of time.
    max_lag
        Largest lag in samples.
    num_bins
        Bins of equal probability.

    Reference: Fraser and Swinney (1986), Phys. Rev. A 33, 1134, doi:10.1103/PhysRevA.33.1134.
    """
    bins = equiprobable_bins(np.atleast_2d(rows), num_bins)
    num_samples = bins.shape[1]
    assert 0 <= max_lag < num_samples
    information = np.empty(max_lag + 1)
    for lag in range(max_lag + 1):
        pairs = bins[:, : num_samples - lag] * num_bins + bins[:, lag:]
        joint = np.bincount(pairs.ravel(), minlength=num_bins**2).reshape(num_bins, num_bins)
        joint = joint / joint.sum()
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        seen = joint > 0
        information[lag] = np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))
    return information


@dataclass(frozen=True)
class InformationDelay:
    """The delay that mutual information suggests.

    lag
        In samples; None where the information neither has a minimum nor falls below 1/e.
    rule
        ``minimum``: the first minimum. ``decay``: there is none that stands out, and the
        information has fallen below ``I(0) / e``.
    """

    lag: int | None
    rule: Literal["minimum", "decay", "none"]


def information_delay(information: np.ndarray) -> InformationDelay:
    """Return the first minimum of the information, or where it falls below 1/e without one.

    A minimum counts when the information rises by more than ``PROMINENCE`` of the entropy
    before it falls below that minimum again. Lorenz-96 and Kuramoto–Sivashinsky have none:
    their information falls to its statistical noise, where any dip is a minimum.
    """
    entropy = information[0]
    dips = 1 + np.flatnonzero(
        (information[1:-1] < information[:-2]) & (information[1:-1] <= information[2:])
    )
    for dip in dips:
        lower = np.flatnonzero(information[dip + 1 :] < information[dip])
        until = dip + 1 + lower[0] if len(lower) else len(information)
        if information[dip + 1 : until].max(initial=0.0) - information[dip] > PROMINENCE * entropy:
            return InformationDelay(int(dip), "minimum")
    below = np.flatnonzero(information < entropy / np.e)
    if len(below):
        return InformationDelay(int(below[0]), "decay")
    return InformationDelay(None, "none")
