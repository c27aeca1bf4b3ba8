"""The examples of ``hpcbench gallery``, one module each, all of one shape.

``Settings``
    What can be chosen, a configuration class with defaults.
``QUICK``
    The settings of ``--quick``, where they differ: seconds instead of minutes.
``TITLE``
    Heading on the page.
``make(settings, workshop) -> Made``
    Compute the series, then draw them.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.plots.style import Picture

EXAMPLES = {
    "sine": "jobs.examples.sine",
    "oscillator": "jobs.examples.oscillator",
    "logistic": "jobs.examples.logistic",
    "lorenz63": "jobs.examples.lorenz63",
    "gradient_lag": "jobs.examples.gradient_lag",
    "regimes": "jobs.examples.regimes",
    "recall": "jobs.examples.recall",
    "split_gradient": "jobs.examples.split_gradient",
    "forecasts": "jobs.examples.forecasts",
    "variants": "jobs.examples.variants",
    "tied": "jobs.examples.tied",
}
"""Example name → its module, imported only when it is made."""


def example(name: str) -> Any:
    """Return the module of an example."""
    return importlib.import_module(EXAMPLES[name])


@dataclass(frozen=True)
class Made:
    """What an example shows.

    sentence
        What was found, in one sentence with its numbers.
    pictures
        With the numbers drawn, which become a CSV file beside each.
    commands
        Those that make the same data by hand, where the example ran commands.
    """

    sentence: str
    pictures: Sequence[Picture]
    commands: Sequence[str] = field(default_factory=tuple)
