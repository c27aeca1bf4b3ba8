"""How many delay coordinates unfold an attractor: false nearest neighbours and Cao's method."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from hpcbench.embedding.delays import delay_vectors

FALSE_RATIO = 15.0
"""Growth of a distance by one more coordinate that tells a false neighbour (Kennel's R_tol)."""

FALSE_SIZE = 2.0
"""Distance in units of the series' spread that tells a false neighbour (Kennel's A_tol)."""

FALSE_SHARE = 0.01
"""Share of false neighbours below which a dimension suffices."""

SATURATION = 0.9
"""Cao's E1 from which on it counts as saturated."""


@dataclass(frozen=True)
class Unfolding:
    """What happens to nearest neighbours when one more delay coordinate is added.

    dimensions
        Number of delay coordinates m, ``(dimension,)``.
    false_share
        Share of nearest neighbours in m dimensions that are false (Kennel et al. 1992).
    e1
        Cao's E1(m): growth of the relative distance; saturates at one where m suffices.
    e2
        Cao's E2(m): near one at every m for a random series, and only for that.
    """

    dimensions: np.ndarray
    false_share: np.ndarray
    e1: np.ndarray
    e2: np.ndarray

    def false_dimension(self) -> int | None:
        """Return the least dimension with less than 1 % false neighbours, None without one."""
        enough = np.flatnonzero(self.false_share < FALSE_SHARE)
        return int(self.dimensions[enough[0]]) if len(enough) else None

    def cao_dimension(self) -> int | None:
        """Return the dimension from which on E1 stays above 0.9, None where it does not."""
        short = np.flatnonzero(self.e1 < SATURATION)
        first = short[-1] + 1 if len(short) else 0
        return int(self.dimensions[first]) if first < len(self.dimensions) else None


def unfold(
    rows: np.ndarray, delay: int, max_dimension: int, spacing: int, max_points: int = 10_000
) -> Unfolding:
    r"""Follow nearest neighbours of delay vectors as their dimension grows.

    With y_m the vector of m delays, n(i) the nearest neighbour of point i among the vectors of
    m delays, R_m their Euclidean distance and σ the standard deviation, n(i) is false when

    .. math::

        \frac{|x_{i+m\tau} - x_{n(i)+m\tau}|}{R_m} > 15 \quad\text{or}\quad
        \frac{R_{m+1}}{\sigma} > 2 .

    Cao's measures take n(i) and distances in the maximum norm,

    .. math::

        E(m) = \Bigl\langle \frac{\|y_{m+1}(i) - y_{m+1}(n(i))\|_\infty}
                                 {\|y_m(i) - y_m(n(i))\|_\infty} \Bigr\rangle, \quad
        E_1 = \frac{E(m+1)}{E(m)}, \quad
        E^*(m) = \langle |x_{i+m\tau} - x_{n(i)+m\tau}| \rangle, \quad
        E_2 = \frac{E^*(m+1)}{E^*(m)} .

    Parameters
    ----------
    rows
        ``(row, time)``, longer than ``(max_dimension + 1) * delay`` samples.
    delay
        Samples τ between two coordinates.
    max_dimension
        Largest m.
    spacing
        Samples between two points of one row. At about the decorrelation time, no point is
        near another only because it follows it (Theiler 1986).
    max_points
        Points at most, chosen evenly among those there are. Neighbours in m dimensions get
        farther as ``points ** (-1 / m)``: above m of about 8 they are hardly near.

    References: Kennel, Brown and Abarbanel (1992), Phys. Rev. A 45, 3403,
    doi:10.1103/PhysRevA.45.3403; Cao (1997), Physica D 110, 43,
    doi:10.1016/S0167-2789(97)00118-8.
    """
    rows = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    dimensions = np.arange(1, max_dimension + 1)
    # newest first is turned round: coordinate m of a vector is what dimension m + 1 adds
    vectors = delay_vectors(rows[..., None], max_dimension + 2, delay)[:, ::spacing, ::-1]
    points = vectors.reshape(-1, max_dimension + 2)
    if len(points) > max_points:
        points = points[np.linspace(0, len(points) - 1, max_points).astype(np.int64)]
    assert len(points) > 1
    sigma = rows.std()
    growth, distance = np.empty(max_dimension + 1), np.empty(max_dimension + 1)
    false_share = np.empty(max_dimension)
    for m in range(1, max_dimension + 2):
        if m <= max_dimension:
            false_share[m - 1] = _false_share(points, m, sigma)
        gap, near = _nearest(points[:, :m], p=np.inf)
        added = np.abs(points[:, m] - points[near, m])
        apart = gap > 0  # points that coincide say nothing about growth
        ratio = np.maximum(added[apart], gap[apart]) / gap[apart]
        growth[m - 1] = ratio.mean() if apart.any() else 1.0
        distance[m - 1] = added.mean()
    e2 = np.divide(distance[1:], distance[:-1], out=np.ones(max_dimension), where=distance[:-1] > 0)
    return Unfolding(dimensions, false_share, growth[1:] / growth[:-1], e2)


def _false_share(points: np.ndarray, dimension: int, sigma: float) -> float:
    gap, near = _nearest(points[:, :dimension], p=2.0)
    added = np.abs(points[:, dimension] - points[near, dimension])
    false = (added > FALSE_RATIO * gap) | (np.hypot(gap, added) > FALSE_SIZE * sigma)
    return float(false.mean())


def _nearest(points: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and index of each point's nearest other point."""
    distances, neighbours = map(np.asarray, cKDTree(points).query(points, k=2, p=p))
    # where several points coincide, a point need not come first in its own list
    own = neighbours[:, 0] == np.arange(len(points))
    return distances[:, 1], np.where(own, neighbours[:, 1], neighbours[:, 0])
