"""A dataset that points share: made once from its specification, or a file that is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcbench.run.document import Document


@dataclass(frozen=True)
class PlannedDataset(Document):
    """A dataset that points share.

    Attributes
    ----------
    key
        Hash of the specification and of the simulators' sources, or of a given file.
    spec, content
        File of the specification; what it says with the study's own values laid over it. Both
        are empty for a file that exists.
    path
        The given file; empty for a dataset to be generated.
    """

    key: str
    spec: str
    content: Mapping[str, Any]
    path: str

    def file(self, runs: Path) -> Path:
        """Return the HDF5 file, below ``runs/datasets`` when it is ours to generate."""
        return Path(self.path) if self.path else runs / "datasets" / f"{self.key}.h5"
