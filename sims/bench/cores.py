"""The core that a process is bound to while it is timed."""

import os

from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks


def pin(core: int | None) -> int:
    """Bind this process to one core and return its number."""
    allowed = os.sched_getaffinity(0)
    if core is None:
        core = max(allowed)
    elif core not in allowed:
        valid = ", ".join(map(str, sorted(allowed)))
        raise InputError(f"--core: {core} is not open to this process; valid: {valid}")
    os.sched_setaffinity(0, {core})
    return core


def own_core(ranks: Ranks) -> None:
    """Bind this rank to one of the cores that it may use, if there is one for each."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) >= ranks.size:
        os.sched_setaffinity(0, {allowed[ranks.rank]})
