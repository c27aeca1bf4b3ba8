"""The model section of a run's configuration, and the recurrent cells by name.

A cell is a module that maps ``inputs (batch, time, num_inputs)`` and a state to
``hidden (batch, time, hidden)`` and the state after the last step. A state is a tuple of tensors
whose second axis is the batch; ``None`` stands for the zero state. Each cell has a file of its
own with a class built as ``Cell(num_inputs, hidden, layers, options)`` and an ``Options``
configuration class for what only this cell knows.


A cell of one's own needs no change here: an installed package offers it as an entry point of the
group ``hpcbench.cells``, or ``cell = "module:Class"`` names it (:mod:`hpcbench.config.registry`).
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hpcbench.config.registry import Registry
from hpcbench.config.tree import Config, validate
from hpcbench.errors import InputError

CELLS = Registry(
    field="model.cell",
    noun="cell",
    group="hpcbench.cells",
    base="torch.nn:Module",
    package="hpcbench.models",
    entries={
        "clockwork": "simple.clockwork:Clockwork",
        "constant": "fixed.constant:Constant",
        "convex_ensemble": "convex_ensemble:ConvexEnsemble",
        "coupled_lstm": "gated.coupled_lstm:CoupledLSTM",
        "depth_gated_lstm": "gated.depth_gated_lstm:DepthGatedLSTM",
        "echo_state": "fixed.echo_state:EchoState",
        "elman": "simple.elman:Elman",
        "fused_gru": "gated.fused_gru:FusedGRU",
        "gru": "gated.gru:GRU",
        "jordan": "simple.jordan:Jordan",
        "lstm": "gated.lstm:LSTM",
        "peephole_lstm": "gated.peephole_lstm:PeepholeLSTM",
        "polynomial": "fixed.polynomial:Polynomial",
        "stepped_lstm": "gated.stepped_lstm:SteppedLSTM",
        "untied": "simple.untied:Untied",
    },
    options="Options",
    built_with=("num_inputs", "hidden", "layers", "options"),
)
"""Cell name → where its class is; imported only when used."""


def cell_class(name: str) -> Any:
    """Return the class of a cell; raise :class:`InputError` naming the valid cells."""
    return CELLS.load(name)


class ModelConfig(Config):
    """What is trained: a cell between an input and a head.

    cell, options
        Name of the cell and the options only this cell knows.
    hidden, layers
        Hidden units of a layer; number of stacked layers.
    coupling
        ``global``: one network sees all components. ``local``: one small network, shared by
        all sites of a periodic ring, sees each site and its neighbours.
    halo
        Neighbours that a site sees with local coupling: as many on either side, or two numbers,
        ``[left, right]``, left being the lower index. What governs a site need not lie evenly
        around it: a step of Lorenz-96 reaches from ``i - 6`` to ``i + 3`` at third order.
    target
        ``state``: the head gives the next state. ``increment``: it gives the difference to
        the present one, in units of the increments' standard deviation.
    head
        Hidden units of each layer of an MLP between the cell and the linear output; empty: the
        output is linear in the cell's hidden units.
    skip
        Add a linear map of the cell's input to the output.
    """

    cell: str = "lstm"
    options: dict[str, Any] = Field(default_factory=dict)
    hidden: int = Field(32, ge=1)
    layers: int = Field(1, ge=1)
    coupling: Literal["global", "local"] = "local"
    halo: int | tuple[int, int] = 4
    target: Literal["state", "increment"] = "increment"
    head: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    skip: bool = False

    @field_validator("cell")
    @classmethod
    def _known_cell(cls, name: str) -> str:
        CELLS.find(name)
        return name

    @field_validator("halo", mode="before")
    @classmethod
    def _one_width_or_two(cls, halo: Any) -> int | tuple[int, int]:
        sides = halo if isinstance(halo, list | tuple) else (halo, halo)
        if len(sides) != 2 or any(type(side) is not int or side < 0 for side in sides):
            raise ValueError(
                "expected a whole number of neighbours on either side, such as 4, or two for left "
                "and right, such as [6, 3]; none is negative"
            )
        left, right = sides
        return left if left == right else (left, right)  # one model has one form, and one hash

    @property
    def sides(self) -> tuple[int, int]:
        """Neighbours on the left and on the right that a site sees with local coupling."""
        return self.halo if isinstance(self.halo, tuple) else (self.halo, self.halo)

    @model_validator(mode="after")
    def _known_options(self) -> "ModelConfig":
        try:
            self.cell_options()
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    def cell_options(self) -> Any:
        """Return ``options`` as the cell's own configuration class."""
        return validate(cell_class(self.cell).Options, self.options, f"options of {self.cell}")
