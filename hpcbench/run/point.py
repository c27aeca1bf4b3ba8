"""A point: one run of a study, as its plan and its records name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpcbench.run.document import Document


@dataclass(frozen=True)
class Point(Document):
    """One run of a study.

    Attributes
    ----------
    id
        Hash of the resolved configuration, the dataset, the ranks, the repeat and the code.
    config
        Resolved configuration: seed, dataset, model, train, forecast.
    ranks, repeat
        Number of ranks; number of the repeat, from 0.
    varied
        The fields in which the points of this study differ, for people; of a case, its name.
    dataset
        Key of the dataset.
    group
        Points of one group run one after another in one allocation.
    """

    id: str
    config: Mapping[str, Any]
    ranks: int
    repeat: int
    varied: Mapping[str, Any]
    dataset: str
    group: int
