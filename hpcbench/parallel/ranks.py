"""The MPI ranks that work together; one process is the special case of many."""

import os
import platform
from collections.abc import Callable
from typing import Any, TypeVar

from hpcbench.errors import HpcbenchError
from hpcbench.parallel.environment import is_launched

Result = TypeVar("Result")


def share(count: int, rank: int, size: int) -> range:
    """Return the part of ``count`` items that falls to a rank: contiguous and even."""
    return range(rank * count // size, (rank + 1) * count // size)


class Ranks:
    """The ranks of an MPI communicator, or one process alone.

    Attributes
    ----------
    rank, size
        Number of this rank and of all ranks.
    comm
        The communicator (``mpi4py``), None for one process alone.
    """

    def __init__(self, comm: Any = None) -> None:
        self.comm = comm
        self.rank = 0 if comm is None else comm.Get_rank()
        self.size = 1 if comm is None else comm.Get_size()

    @property
    def is_first(self) -> bool:
        """Whether this rank makes files and talks to the user."""
        return bool(self.rank == 0)

    def share(self, count: int) -> range:
        """Return this rank's part of ``count`` items."""
        return share(count, self.rank, self.size)

    def gather(self, value: Result) -> list[Result]:
        """Return the values of all ranks, in their order, on every rank."""
        return [value] if self.comm is None else self.comm.allgather(value)

    def spare_cores(self) -> bool:
        """Tell whether this node has more cores open to its ranks than it has ranks.

        Called by every rank.
        """
        places = self.gather((platform.node(), os.sched_getaffinity(0)))
        here = [cores for node, cores in places if node == platform.node()]
        return len(set().union(*here)) > len(here)

    def together(self, action: Callable[[], Result]) -> Result:
        """Run an action on every rank; where it fails on any, raise that error on all.

        Of several errors all ranks raise that of the lowest rank, for one message to the user.
        """
        result: Result | None = None
        problem: HpcbenchError | None = None
        try:
            result = action()
        except HpcbenchError as error:
            problem = error
        problems = [other for other in self.gather(problem) if other is not None]
        if problems:
            raise problems[0]
        return result  # type: ignore[return-value]

    def first(self, action: Callable[[], Result]) -> Result:
        """Run an action on the first rank and return its result on every rank."""
        result = self.together(lambda: action() if self.is_first else None)
        return self.gather(result)[0]  # type: ignore[return-value]

    def abort(self, exit_code: int) -> None:
        """End all ranks at once, where one of them cannot go on and others may wait for it."""
        if self.size > 1:
            self.comm.Abort(exit_code)


def world() -> Ranks:
    """Return all ranks of this job.

    MPI is not started in a process that no launcher started, because some MPI libraries cannot
    start without their launcher.
    """
    if not is_launched():
        return Ranks()
    from mpi4py import MPI

    return Ranks(MPI.COMM_WORLD)
