"""Reduced order: forecasting principal components in the place of states."""

from dataclasses import dataclass

import numpy as np

from hpcbench.data.dataset import Dataset
from hpcbench.embedding.components import PrincipalComponents, principal_components
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.errors import InputError


@dataclass(frozen=True)
class Reduction:
    """A linear map of normalised states into principal components, and back.

    basis
        ``(component, principal)``.
    inverse
        ``(principal, component)``; what the principal components left out hold is lost.
    spread
        Standard deviation of each principal component over the training data, ``(principal,)``.
    """

    basis: np.ndarray
    inverse: np.ndarray
    spread: np.ndarray


def training_reduction(dataset: Dataset, std: np.ndarray, embedding: EmbeddingConfig) -> Reduction:
    """Return the reduction that an embedding asks for.

    Parameters
    ----------
    dataset
        Its training states give the principal components.
    std
        The common scale of the normalised states, ``(component,)`` times the same number.
    embedding
        Number of principal components and whether they are whitened.
    """
    number = embedding.components or dataset.num_components
    if number > dataset.num_components:
        raise InputError(
            f"embedding.components: given {number}, but {dataset.path} has "
            f"{dataset.num_components} components; valid: 1 to {dataset.num_components}"
        )
    found = training_components(dataset).leading(number)
    scaled = PrincipalComponents(found.mean, found.variances / std[0] ** 2, found.vectors)
    basis, inverse = scaled.matrix(embedding.whiten)
    spread = np.sqrt(scaled.variances) * np.linalg.norm(basis, axis=0)
    return Reduction(basis, inverse, spread)


def training_components(dataset: Dataset, num_states: int = 100_000) -> PrincipalComponents:
    """Return the principal components of the training states around the training mean.

    About ``num_states`` states enter, spread evenly in time over all training trajectories.
    """
    members = dataset.members("train")
    stride = max(1, len(members) * dataset.num_samples // num_states)
    thinned = [
        # another phase in each trajectory, so that no time is left out
        np.asarray(dataset.trajectory(member)[int(i) % stride :: stride], dtype=np.float64)
        for i, member in enumerate(members)
    ]
    return principal_components(np.concatenate(thinned), dataset.mean)
