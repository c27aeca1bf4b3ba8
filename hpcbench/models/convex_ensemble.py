"""Several small networks side by side, whose outputs are averaged with trained weights."""

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hpcbench.config.tree import Config, validate
from hpcbench.errors import InputError
from hpcbench.models.config import cell_class

State = tuple[Tensor, ...]


class ConvexEnsembleOptions(Config):
    """Options of the convex ensemble.

    members
        Number of networks, each with the model's ``hidden`` units and ``layers``.
    cell, cell_options
        What the members are, and its options.
    """

    members: int = Field(4, ge=1)
    cell: Literal[
        "coupled_lstm", "depth_gated_lstm", "elman", "gru", "peephole_lstm", "stepped_lstm"
    ] = "stepped_lstm"
    cell_options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_options(self) -> "ConvexEnsembleOptions":
        try:
            self.member_options()
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    def member_options(self) -> Any:
        """Return ``cell_options`` as the member's own configuration class."""
        options = cell_class(self.cell).Options
        return validate(options, self.cell_options, f"cell_options of {self.cell}")


class ConvexEnsemble(nn.Module):
    r"""A convex combination of networks that see the same input.

    .. math::

        \phi = (w_1 h^1, \dots, w_K h^K), \qquad w = \mathrm{softmax}(\omega), \qquad
        \hat y = V \phi + b = \sum_j w_j V_j h^j + b

    With a linear head, whose columns fall into one block :math:`V_j` for each member, the
    forecast is the combination :math:`\sum_j w_j \hat y_j` of the members' own. It starts with
    equal weights. A reconstruction: Wang (2017) speaks of "convex-based" LSTM networks for fast
    learning, and the equations were not available. State: the members' states next to each
    other, ``(layers, batch, members * size)``.
    """

    STEPWISE = True

    Options = ConvexEnsembleOptions

    def __init__(
        self, num_inputs: int, hidden: int, layers: int, options: ConvexEnsembleOptions
    ) -> None:
        super().__init__()
        cls, member_options = cell_class(options.cell), options.member_options()
        self.members = nn.ModuleList(
            cls(num_inputs, hidden, layers, member_options) for _ in range(options.members)
        )
        self.logits = nn.Parameter(torch.zeros(options.members))
        self.num_outputs = options.members * hidden

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return weighted hidden units ``(batch, time, members * hidden)`` and the state."""
        count = len(self.members)
        if state is None:
            before: list[State | None] = [None] * count
        else:
            before = list(zip(*(part.chunk(count, -1) for part in state), strict=True))
        runs = [member(inputs, own) for member, own in zip(self.members, before, strict=True)]
        weights = self.logits.softmax(0)
        outputs = torch.cat([w * hidden for w, (hidden, _) in zip(weights, runs, strict=True)], -1)
        states = zip(*(after for _, after in runs), strict=True)
        return outputs, tuple(torch.cat(parts, -1) for parts in states)
