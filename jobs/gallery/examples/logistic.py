"""The six regimes of the logistic map."""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from analysis.plots.panels import Line, Panel, panels
from hpcbench.config.tree import Config, Table
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop
from sims.systems.maps.logistic_map import LogisticMap, LogisticMapParameters

Array = npt.NDArray[np.float64]

TITLE = "Six regimes of the logistic map"

REGIMES = {
    0.7: "r = 0.7: extinct",
    2.5: "r = 2.5: settles at 1 − 1/r = 0.6",
    3.4: "r = 3.4: period 2",
    3.5: "r = 3.5: period 4",
    3.55: "r = 3.55: period 8",
    3.9: "r = 3.9: chaos",
}
"""Rate → what it does."""


class Settings(Config):
    """Where the orbits start and how long they are drawn."""

    start: float = Field(0.1, gt=0, lt=1)
    num_iterations: int = Field(80, ge=1)
    transient: int = Field(20_000, ge=0)


QUICK: Table = {"transient": 2_000}


def orbit(rate: float, start: float, num_iterations: int) -> Array:
    """Return ``num_iterations + 1`` values, the start first."""
    system = LogisticMap(LogisticMapParameters(rate=rate))
    states, later = np.array([[start]]), np.empty((1, num_iterations, 1))
    system.advance(states, 1.0, num_iterations, 1, later)
    return np.concatenate([[start], later[0, :, 0]])


def limit_cycle(rate: float, start: float, transient: int, most: int = 16) -> Array:
    """Return what an orbit visits after a transient, ascending; empty beyond ``most`` values."""
    late = orbit(rate, start, transient + 4 * most)[-4 * most :]
    visited = np.unique(np.round(late, 6))
    return visited if len(visited) <= most else np.empty(0)


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw the beginning of every orbit with the values it ends up on."""
    shown, periods = [], []
    for rate, label in REGIMES.items():
        values = orbit(rate, settings.start, settings.num_iterations)
        cycle = limit_cycle(rate, settings.start, settings.transient)
        periods.append(str(len(cycle)) if len(cycle) else "none")
        curve = Line(np.arange(len(values)), values, look="both")
        levels = tuple(cycle.tolist())
        shown.append(
            Panel(label, {"_x": curve}, "iteration n", "xₙ (1)", levels=levels, key=False,
                  limits=(-0.03, 1.03))
        )  # fmt: skip
    settled = limit_cycle(2.5, settings.start, settings.transient)
    sentence = (
        f"From x₀ = {settings.start:g} the periods are {', '.join(periods)} for r = "
        f"{', '.join(f'{rate:g}' for rate in REGIMES)} (dotted: the values visited in the end); at "
        f"r = 2.5 the limit is {settled[0]:.6f} = 1 − 1/r."
    )
    picture = panels(
        shown, columns=2, name="logistic", title="Logistic map xₙ₊₁ = r xₙ (1 − xₙ)",
        alt=sentence, height=1.7, share_y=True,
    )  # fmt: skip
    return Made(sentence, [picture])
