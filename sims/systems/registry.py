"""Systems by name: add a new one here."""

from typing import Any

from hpcbench.errors import InputError, nearest
from sims.systems.flows.driven_oscillator import DrivenOscillator
from sims.systems.flows.kuramoto_sivashinsky import KuramotoSivashinsky
from sims.systems.flows.lorenz63 import Lorenz63
from sims.systems.flows.lorenz96 import Lorenz96
from sims.systems.maps.henon_map import HenonMap
from sims.systems.maps.linear_map import LinearMap
from sims.systems.maps.logistic_map import LogisticMap
from sims.systems.maps.narendra_plant import NarendraPlant
from sims.systems.sine import NoisySine, Sine

CLASSES = (
    Lorenz96,
    KuramotoSivashinsky,
    Lorenz63,
    LogisticMap,
    LinearMap,
    HenonMap,
    NarendraPlant,
    DrivenOscillator,
    Sine,
    NoisySine,
)

SYSTEMS: dict[str, Any] = {system.name: system for system in CLASSES}
"""Name in a specification → class."""


def system_class(name: object, source: str) -> Any:
    """Return the class of a system; raise :class:`InputError` naming the nearest valid one."""
    if not isinstance(name, str) or name not in SYSTEMS:
        valid = ", ".join(SYSTEMS)
        hint = nearest(name, SYSTEMS) if isinstance(name, str) else ""
        given = "missing" if name is None else f'no system is called "{name}"'
        raise InputError(f"{source}: system: {given}{hint}; valid: {valid}")
    return SYSTEMS[name]
