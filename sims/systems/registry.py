"""Systems by name.

A system of ours is added here. One of one's own needs no change here: an installed package offers
it as an entry point of the group ``hpcbench.systems``, or ``system = "module:Class"`` names it
(:mod:`hpcbench.config.registry`).
"""

from typing import Any

from hpcbench.config.registry import Registry

SYSTEMS = Registry(
    field="system",
    noun="system",
    group="hpcbench.systems",
    base="sims.systems.system:System",
    package="sims.systems",
    entries={
        "lorenz96": "flows.lorenz96:Lorenz96",
        "kuramoto_sivashinsky": "flows.kuramoto_sivashinsky:KuramotoSivashinsky",
        "lorenz63": "flows.lorenz63:Lorenz63",
        "logistic_map": "maps.logistic_map:LogisticMap",
        "linear_map": "maps.linear_map:LinearMap",
        "henon_map": "maps.henon_map:HenonMap",
        "narendra_plant": "maps.driven:NarendraPlant",
        "driven_oscillator": "flows.driven_oscillator:DrivenOscillator",
        "sine": "sine:Sine",
        "noisy_sine": "sine:NoisySine",
    },
    options="Parameters",
    attributes=("name", "schemes"),
    built_with=("parameters", "scheme", "kernel"),
)
"""Name in a specification → where its class is; imported only when used."""


def system_class(name: object, source: str = "") -> Any:
    """Return the class of a system; raise :class:`InputError` naming the nearest valid one."""
    return SYSTEMS.load(name, source)
