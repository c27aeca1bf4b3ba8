"""Systems by name: add a new one here."""

from typing import Any

from hpcbench.errors import InputError, nearest
from sims.kuramoto_sivashinsky import KuramotoSivashinsky
from sims.lorenz96 import Lorenz96

SYSTEMS: dict[str, Any] = {system.name: system for system in (Lorenz96, KuramotoSivashinsky)}
"""Name in a specification → class."""


def system_class(name: object, source: str) -> Any:
    """Return the class of a system; raise :class:`InputError` naming the nearest valid one."""
    if not isinstance(name, str) or name not in SYSTEMS:
        valid = ", ".join(SYSTEMS)
        hint = nearest(name, SYSTEMS) if isinstance(name, str) else ""
        given = "missing" if name is None else f'no system is called "{name}"'
        raise InputError(f"{source}: system: {given}{hint}; valid: {valid}")
    return SYSTEMS[name]
