"""Principal components, whitening, and the same of delay vectors (Hankel-SVD)."""

from dataclasses import dataclass

import numpy as np

REGULARISATION = 1e-10
"""Variance added before whitening, as a share of the largest: directions below are rounding."""


@dataclass(frozen=True)
class PrincipalComponents:
    r"""Directions of largest variance, :math:`C = V \Lambda V^T`.

    mean
        ``(component,)``.
    variances
        Eigenvalues of the covariance, descending, ``(rank,)``.
    vectors
        Orthonormal directions as columns, ``(component, rank)``; the entry of largest size of
        each is positive.
    """

    mean: np.ndarray
    variances: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of_covariance(
        cls, covariance: np.ndarray, mean: np.ndarray | None = None
    ) -> "PrincipalComponents":
        """Return the principal components of a covariance around a mean (0 by default)."""
        variances, vectors = np.linalg.eigh(covariance)
        # eigh sorts upwards, and may leave a vanishing eigenvalue slightly negative
        variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1]
        largest = np.argmax(np.abs(vectors), axis=0)
        signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
        centre = np.zeros(len(covariance)) if mean is None else mean
        return cls(centre, variances, vectors * signs)

    def leading(self, number: int) -> "PrincipalComponents":
        """Return the ``number`` directions of largest variance."""
        assert 1 <= number <= len(self.variances)
        return PrincipalComponents(self.mean, self.variances[:number], self.vectors[:, :number])

    def number_for(self, share: float) -> int:
        """Return how many components hold at least ``share`` of the variance."""
        held = np.cumsum(self.variances) / self.variances.sum()
        # the last sums round to less than one
        return min(int(np.searchsorted(held, share - 1e-12)) + 1, len(held))

    def matrix(self, whiten: bool) -> tuple[np.ndarray, np.ndarray]:
        r"""Return the map into components and the one back, ``(component, rank)`` and transposed.

        Whitened components have unit variance,
        :math:`z = (\Lambda + \epsilon)^{-1/2} V^T (x - \mu)`.
        """
        if not whiten:
            return self.vectors, self.vectors.T
        spread = np.sqrt(self.variances + REGULARISATION * self.variances[0])
        return self.vectors / spread, (self.vectors * spread).T

    def project(self, states: np.ndarray, whiten: bool = False) -> np.ndarray:
        """Return the components of states ``(..., component)``, ``(..., rank)``."""
        return (states - self.mean) @ self.matrix(whiten)[0]

    def restore(self, projected: np.ndarray, whiten: bool = False) -> np.ndarray:
        """Return the states that components ``(..., rank)`` stand for, ``(..., component)``."""
        return projected @ self.matrix(whiten)[1] + self.mean


def principal_components(states: np.ndarray, mean: np.ndarray | None = None) -> PrincipalComponents:
    """Return the principal components of states ``(..., component)``.

    Parameters
    ----------
    states
        Any number of leading axes.
    mean
        Centre, ``(component,)``; by default that of the states given.
    """
    samples = np.asarray(states, dtype=np.float64).reshape(-1, states.shape[-1])
    centre = samples.mean(axis=0) if mean is None else np.asarray(mean, dtype=np.float64)
    centred = samples - centre
    return PrincipalComponents.of_covariance(centred.T @ centred / len(centred), centre)
