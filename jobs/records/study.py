"""``study.json``: what a study asks for, as it was planned last."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcbench.run.document import Document
from hpcbench.run.point import Point
from jobs.study.dataset import PlannedDataset


@dataclass(frozen=True)
class PlannedResources(Document):
    """What one point gets: the fields of :class:`jobs.study.file.Resources`, checked when planned.

    A class of its own, because a job's driver reads it without the time that pydantic takes.
    """

    ranks: int = 1
    ranks_per_node: int | None = None
    gpus_per_rank: int = 0
    cores_per_rank: int | None = None
    minutes: int = 60
    retries: int = 2
    split: bool = True
    hang_minutes: float = 10.0
    dataset_ranks: int = 1
    dataset_minutes: int = 60

    @property
    def hang_seconds(self) -> float:
        """Longest time between two finished steps."""
        return self.hang_minutes * 60


@dataclass(frozen=True)
class StudyRecord(Document):
    """The plan of a study.

    Attributes
    ----------
    study, scaling, quality, resources
        Sections of the study, for readers of its results.
    definition
        The whole study with its defaults.
    file, site
        The study's file and the profile it was planned for.
    folder
        Folder in which the study was submitted: classes of the user's own may lie there.
    code
        Version of the sources that its points are named after.
    datasets, points
        Datasets by key; points in the order they are to run.
    """

    study: Mapping[str, Any]
    resources: PlannedResources
    definition: Mapping[str, Any]
    file: str
    site: str
    code: str
    datasets: Mapping[str, PlannedDataset]
    points: tuple[Point, ...]
    scaling: Mapping[str, Any] | None = None
    quality: Mapping[str, Any] | None = None
    folder: str = ""

    @property
    def working_folder(self) -> Path | None:
        """Where its ranks start: the folder it was submitted in, as long as that is there."""
        folder = Path(self.folder)
        return folder if self.folder and folder.is_dir() else None
