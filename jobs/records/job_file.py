"""The file of a job: what its driver finds when the scheduler starts it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hpcbench.run.document import Document
from jobs.site.placement import Placement

if TYPE_CHECKING:
    from jobs.site.profile import Site


@dataclass(frozen=True)
class JobFile(Document):
    """What a driver works through.

    Attributes
    ----------
    study
        The study's folder.
    code
        Version of the sources that the job was submitted with.
    site
        The cluster's profile at that time.
    placement
        Nodes, ranks and time.
    submitted
        When it was handed to the scheduler.
    points, dataset
        The points to run and their dataset; without points the dataset is to be generated.
    """

    study: str
    code: str
    site: Mapping[str, Any]
    placement: Placement
    submitted: str
    points: tuple[str, ...]
    dataset: str


def checked_site(values: Mapping[str, Any]) -> "Site":
    """Return a profile that was checked when its job was submitted.

    Without its class, which takes pydantic along: every point would wait for that.
    """
    return cast("Site", SimpleNamespace(**values))
