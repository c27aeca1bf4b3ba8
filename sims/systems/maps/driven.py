"""Systems in discrete time that have an input and an output."""

from typing import Protocol

import numpy as np


class DrivenSystem(Protocol):
    """x_{t+1} = f(x_t, u_t),  y_t = g(x_t, u_t).

    Which is also what a recurrent cell is, with its hidden state for x.
    """

    def next_state(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return f(x, u)."""

    def output(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return g(x, u)."""


def response(
    system: DrivenSystem, x: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs to a sequence of inputs, and the state after it.

    x
        State before the first input, ``(..., state)``.
    inputs
        ``(time, ..., input)``.
    """
    outputs = []
    for u in inputs:
        outputs.append(system.output(x, u))
        x = system.next_state(x, u)
    return np.stack(outputs), x
