"""Dropout of the hidden units that the head reads, with the same mask at every step."""

from pydantic import Field
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom


class DropoutOptions(Config):
    """Options of the dropout.

    dropout
        Probability with which a hidden unit is hidden from the head while training.
    """

    dropout: float = Field(0.0, ge=0, lt=1)


def dropped(hidden: Tensor, probability: float, random: RowRandom) -> Tensor:
    r"""Return hidden units ``(row, time, unit)`` with some of them zero, the others enlarged.

    .. math::

        \tilde h_{rtj} = \frac{m_{rj}}{1 - p}\, h_{rtj}, \qquad
        m_{rj} \sim \mathrm{Bernoulli}(1 - p)

    so that the mean stays. A row keeps its mask through a window (Gal and Ghahramani 2016), and
    draws the same one on whichever rank it lies; nothing is dropped in validation and forecasts.
    """
    num_rows, _, width = hidden.shape
    per_sequence = num_rows // len(random.rows)
    draws = random.uniform((per_sequence, width)).flatten(0, 1)
    mask = (draws >= probability).to(hidden.device, hidden.dtype)
    return hidden * (mask / (1 - probability))[:, None, :]
