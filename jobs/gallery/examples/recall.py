"""Remembering one sign across a long noisy delay."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from analysis.plots.panels import Line, Panel, panels
from hpcbench.config.tree import Config, Table
from hpcbench.console import progress
from hpcbench.models.config import cell_class
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop

Array = npt.NDArray[np.float64]

TITLE = "Recall after a delay"

SOLVED_STEPS = 5
"""Batches in a row without a mistake after which training stops."""

HOPELESS = 0.75
"""Share of right answers below which longer lags are not tried."""


class Settings(Config):
    """The task and the training, the same for every network.

    lags
        Steps between the sign and the answer.
    noise
        Standard deviation of the values in between; the sign has size 1.
    steps
        Training steps at most.
    tested
        New sequences that are scored.
    """

    lags: list[int] = Field(default_factory=lambda: [10, 30, 100, 300, 1000])
    noise: float = Field(0.3, ge=0)
    hidden: int = Field(16, ge=1)
    batch: int = Field(32, ge=1)
    steps: int = Field(300, ge=1)
    learning_rate: float = Field(0.005, gt=0)
    tested: int = Field(256, ge=1)
    seed: int = Field(1, ge=0)


QUICK: Table = {"lags": [4, 12], "steps": 10, "hidden": 4}


@dataclass(frozen=True)
class Contestant:
    """A cell with the options it gets for a lag."""

    label: str
    cell: str
    options: Callable[[int], Table]


CONTESTANTS = (
    Contestant("vanilla RNN, W uniform", "elman", lambda lag: {"recurrent": "uniform"}),
    Contestant("vanilla RNN, W orthogonal", "elman", lambda lag: {"recurrent": "orthogonal"}),
    Contestant("LSTM, forget bias 0", "lstm", lambda lag: {"forget_bias": 0.0}),
    Contestant("LSTM, forget bias 1", "lstm", lambda lag: {"forget_bias": 1.0}),
    # a gate σ(ln lag) = lag / (lag + 1) keeps 1/e over the delay (Tallec and Ollivier 2018)
    Contestant("LSTM, bias ln(lag)", "lstm", lambda lag: {"forget_bias": float(np.log(lag))}),
)


class Recall(nn.Module):
    """A cell and one output after the last step, whose sign is the answer."""

    def __init__(self, contestant: Contestant, hidden: int, lag: int) -> None:
        super().__init__()
        kind = cell_class(contestant.cell)
        self.cell = kind(2, hidden, 1, kind.Options(**contestant.options(lag)))
        self.head = nn.Linear(hidden, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output ``(batch,)`` after inputs ``(batch, time, 2)``."""
        hidden, _ = self.cell(inputs, None)
        return self.head(hidden[:, -1])[:, 0]


def sequences(
    number: int, lag: int, noise: float, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return inputs ``(number, 1 + lag, 2)`` and the signs to remember.

    The first input is the value, a sign and then noise; the second, 1 and then 0, tells which
    value counts.
    """
    signs = 2.0 * torch.randint(0, 2, (number,), generator=random) - 1.0
    values = noise * torch.randn(number, 1 + lag, generator=random)
    cue = torch.zeros(number, 1 + lag)
    values[:, 0], cue[:, 0] = signs, 1.0
    return torch.stack([values, cue], 2), signs


def accuracy(contestant: Contestant, lag: int, settings: Settings) -> float:
    """Train one network on one lag; return its share of right answers on new sequences."""
    torch.manual_seed(settings.seed)
    random = torch.Generator().manual_seed(settings.seed)
    network = Recall(contestant, settings.hidden, lag)
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    solved = 0
    for _ in range(settings.steps):
        inputs, signs = sequences(settings.batch, lag, settings.noise, random)
        output = network(inputs)
        solved = solved + 1 if bool((output * signs > 0).all()) else 0
        if solved == SOLVED_STEPS:
            break
        optimizer.zero_grad()
        nn.functional.softplus(-output * signs).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        inputs, signs = sequences(settings.tested, lag, settings.noise, random)
        return float((network(inputs) * signs > 0).double().mean())


def compute(settings: Settings) -> dict[str, Array]:
    """Return the accuracy of every network over the lags, no number where it was not tried.

    After a lag at which a network does little better than guessing, longer ones are not tried.
    """
    found = {}
    with progress(len(CONTESTANTS) * len(settings.lags), "recall") as advance:
        for contestant in CONTESTANTS:
            scores = np.full(len(settings.lags), np.nan)
            for place, lag in enumerate(settings.lags):
                if place == 0 or scores[place - 1] >= HOPELESS:
                    scores[place] = accuracy(contestant, lag, settings)
                advance(1, f"{contestant.label}, lag {lag}")
            found[contestant.label] = scores
    return found


def longest_solved(lags: list[int], scores: Array) -> int:
    """Return the longest lag up to which every one is answered right in 95 % of cases, else 0."""
    solved = scores >= 0.95
    number = len(solved) if solved.all() else int(np.argmin(solved))
    return lags[number - 1] if number else 0


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw the share of right answers against the lag."""
    found = compute(settings)
    lags = np.array(settings.lags)
    curves = {label: Line(lags, scores, look="both") for label, scores in found.items()}
    told = ", ".join(
        f"{label}: {longest_solved(settings.lags, scores) or 'none'}"
        for label, scores in found.items()
    )
    sentence = (
        f"Longest delay solved (95 % right) after at most {settings.steps} training steps, one "
        f"seed: {told}."
    )
    picture = panels(
        [Panel("", curves, "lag (steps)", "right answers (share)", logarithmic="x", levels=(0.5,),
               limits=(0.3, 1.05))],
        name="recall", title="One sign remembered across noise (0.5: guessing)", alt=sentence,
        height=2.9,
    )  # fmt: skip
    return Made(sentence, [picture])
