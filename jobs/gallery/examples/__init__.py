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
    "sine": "jobs.gallery.examples.sine",
    "oscillator": "jobs.gallery.examples.oscillator",
    "logistic": "jobs.gallery.examples.logistic",
    "lorenz63": "jobs.gallery.examples.lorenz63",
    "gradient_lag": "jobs.gallery.examples.gradient_lag",
    "regimes": "jobs.gallery.examples.regimes",
    "recall": "jobs.gallery.examples.recall",
    "split_gradient": "jobs.gallery.examples.split_gradient",
    "forecasts": "jobs.gallery.examples.forecasts",
    "variants": "jobs.gallery.examples.variants",
    "tied": "jobs.gallery.examples.tied",
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
