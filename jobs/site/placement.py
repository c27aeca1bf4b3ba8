"""How the ranks of a point are placed on nodes, and for how long."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpcbench.errors import InputError
from hpcbench.run.document import Document

if TYPE_CHECKING:
    from jobs.site.profile import Site


@dataclass(frozen=True)
class Placement(Document):
    """Nodes, ranks on each, cores of a rank, GPUs of a node, and the time limit of one job."""

    ranks: int
    nodes: int
    ranks_per_node: int
    cores_per_rank: int
    gpus_per_rank: int
    gpus_per_node: int
    minutes: int


class Wanted(Protocol):
    """What a study asks for of a node."""

    @property
    def ranks_per_node(self) -> int | None: ...
    @property
    def cores_per_rank(self) -> int | None: ...
    @property
    def gpus_per_rank(self) -> int: ...


def place_ranks(resources: Wanted, site: "Site", ranks: int, minutes: int) -> Placement:
    """Return how a job with this many ranks is placed on a site.

    Raises
    ------
    InputError
        The study asks for more of a node than it has.
    """
    if site.scheduler == "local":
        return Placement(ranks, 1, ranks, resources.cores_per_rank or 1, 0, 0, minutes)
    most = resources.ranks_per_node or site.ranks_per_node
    nodes, per_node = math.ceil(ranks / most), min(ranks, most)
    cores = resources.cores_per_rank or max(1, (site.cores_per_node or most) // most)
    gpus = resources.gpus_per_rank
    if site.cores_per_node and cores * per_node > site.cores_per_node:
        raise InputError(
            f"resources: {per_node} ranks with {cores} cores each need {cores * per_node} cores of "
            f"a node, which has {site.cores_per_node}; lower ranks_per_node or cores_per_rank"
        )
    if gpus * per_node > site.gpus_per_node:
        raise InputError(
            f"resources: {per_node} ranks with {gpus} GPUs each need {gpus * per_node} GPUs of a "
            f"node, which has {site.gpus_per_node}; lower ranks_per_node or gpus_per_rank"
        )
    return Placement(ranks, nodes, per_node, cores, gpus, gpus * per_node, minutes)
