"""Optimisers by name.

An optimiser is registered by its options: a configuration class with ``build(parameters)``. The
training loop sets the learning rate before every step. Back-ends may build an optimiser again
from its parameter groups, so all that defines it is kept in them.

An optimiser of one's own needs no change here: an installed package offers its options as an entry
point of the group ``hpcbench.optimizers``, or ``optimizer = "module:Class"`` names them
(:mod:`hpcbench.config.registry`).
"""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hpcbench.config.registry import Registry
from hpcbench.config.tree import validate

OPTIMIZERS = Registry(
    field="train.optimizer",
    noun="optimiser",
    group="hpcbench.optimizers",
    base="hpcbench.config.tree:Config",
    package="hpcbench.training.optimizers",
    entries={
        "adam": "standard:AdamOptions",
        "lamb": "layerwise:LAMBOptions",
        "lars": "layerwise:LARSOptions",
        "nesterov": "standard:NesterovOptions",
        "scheduled_nesterov": "scheduled_nesterov:ScheduledNesterovOptions",
        "sgd": "standard:SGDOptions",
        "soap": "soap:SOAPOptions",
        "stable_sgd": "stable_sgd:StableSGDOptions",
    },
    attributes=("build",),
)
"""Optimiser name → where its options are; imported only when used."""


def optimizer_options(name: str, options: dict[str, Any]) -> Any:
    """Return the options of an optimiser; raise :class:`InputError` naming the valid ones."""
    return validate(OPTIMIZERS.load(name), options, f"optimizer_options of {name}")


def build_optimizer(
    name: str, options: dict[str, Any], parameters: Iterable[nn.Parameter]
) -> Optimizer:
    """Return an optimiser of the parameters that are to be trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer: Optimizer = optimizer_options(name, options).build(trained)
    return optimizer
