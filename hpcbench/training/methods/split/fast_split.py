r"""Fast training of LSTMs by splitting the cell: a reconstruction, not a reproduction.

Inspired by "Fast Training of Deep LSTM Networks" (Yu, Li and Gonzalez, ISNN 2019, and the
journal version, Neurocomputing 422, 2021), whose abstracts say that the cell is separated into
forward and recurrent substructures and trained by a method like backpropagation, with an MLP on
top. The papers' equations were not available; what follows is our own reading of the abstracts.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.training.methods.method import Method, detached, require_cell
from hpcbench.training.methods.split.split_layer import SPLIT_CELLS, lstm_layers, split_pass

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class FastSplitOptions(Config):
    r"""Options of the split training.

    local_heads
        Every layer below the uppermost learns from a linear head of its own.
    head
        ``joint``: cell and head take one step together, by the optimiser. ``alternate``: with the
        window's hidden units held fixed the head first takes ``head_steps`` steps of gradient
        descent, the rows and times being independent samples to it; then the optimiser moves the
        cell under the new head.
    head_steps, head_rate
        With ``alternate``: the steps, and their rate :math:`\eta` in :math:`\eta / (1 + \|g\|^2)`.
    """

    local_heads: bool = False
    head: Literal["joint", "alternate"] = "joint"
    head_steps: int = Field(4, ge=1)
    head_rate: float = Field(0.3, gt=0)

    @model_validator(mode="after")
    def _head_options_fit(self) -> "FastSplitOptions":
        given = self.model_fields_set & {"head_steps", "head_rate"}
        if self.head == "joint" and given:
            raise ValueError(
                f'{" and ".join(sorted(given))}: with head = "joint" the optimiser moves the head; '
                'leave it out, or give head = "alternate"'
            )
        return self


class FastSplit(Method):
    r"""One-step prediction, trained with the backward pass of ``SplitLayer``.

    .. math::

        (i, f, g, o)_t = \gamma\bigl(W x_t + U\, \mathrm{sg}(h_{t-1}) + b\bigr), \qquad
        c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh c_t

    with sg the stop of the gradient: the forward part is a static map, the recurrent one is the
    cell alone, diagonal and linear.

    The head is trained by ordinary backpropagation on the hidden units, together with the cell or
    in turns with it. With ``local_heads`` every layer below the uppermost has a linear head of its
    own that predicts the target, and learns from it alone: no gradient passes between layers, and
    the loss is the mean over heads (greedy layer-wise training, all layers at once). Forecasts use
    the uppermost head.

    With no recurrent weights, or windows of one step, the gradient is that of ``tbptt``. The
    steps of ``head = "alternate"`` use gradients averaged over ranks, one message each.
    """

    THROUGH_CELL: ClassVar[bool] = True

    Options = FastSplitOptions

    def __init__(self, forecaster: Forecaster, options: FastSplitOptions) -> None:
        super().__init__(forecaster)
        self.options = options
        layers = lstm_layers(forecaster.core)
        size = layers[0].recurrent.shape[1]
        num_outputs = 1 if forecaster.local else forecaster.num_inputs
        self.heads = nn.ModuleList(
            nn.Linear(size, num_outputs, dtype=forecaster.dtype, device=layers[0].bias.device)
            for _ in layers[1:]
            if options.local_heads
        )
        modules = [self.heads, forecaster.head, forecaster.skip]
        self.head_weights = [w for m in modules if m is not None for w in m.parameters()]
        if options.head == "alternate":  # nothing of the head is left to the optimiser
            for weight in self.head_weights:
                weight.requires_grad_(False)

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse cells with other equations than the LSTM's."""
        require_cell(config, SPLIT_CELLS, "splits the plain LSTM")
        if config.train.method_options().local_heads and config.model.layers == 1:
            raise InputError(
                "train.options.local_heads: true gives the layers below the uppermost heads of "
                "their own, and model.layers is 1; give at least 2, or false"
            )

    def forward(
        self, states: Tensor, state: State | None, random: RowRandom
    ) -> tuple[Tensor, State]:
        """Return the mean squared error of a window and the detached state after it."""
        forecaster, dtype = self.forecaster, self.forecaster.dtype
        inputs = states[:, :-1]
        target = forecaster.outputs(forecaster.scaled_target(inputs, states[:, 1:]).to(dtype))
        rows = forecaster.rows(inputs.to(dtype))
        layers = lstm_layers(forecaster.core)
        hidden, state = split_pass(layers, rows, state, self.THROUGH_CELL, self.options.local_heads)
        if self.options.head == "alternate":
            self._train_head([units.detach() for units in hidden], rows, target)
        return self._loss(hidden, rows, target), detached(state)

    def _loss(self, hidden: list[Tensor], rows: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error, averaged over heads."""
        loss = nn.functional.mse_loss(self.forecaster.read_out(hidden[-1], rows), target)
        for head, below in zip(self.heads, hidden, strict=False):
            loss = loss + nn.functional.mse_loss(head(below), target)
        return loss / (1 + len(self.heads))

    def _train_head(self, hidden: list[Tensor], rows: Tensor, target: Tensor) -> None:
        """Take the steps of the head, on given hidden units."""
        for _ in range(self.options.head_steps):
            for weight in self.head_weights:
                weight.requires_grad_(True)
            with torch.enable_grad():
                loss = self._loss(hidden, rows, target)
            gradients = list(torch.autograd.grad(loss, self.head_weights))
            self.ranks.average(gradients)
            square = sum(float(gradient.double().square().sum()) for gradient in gradients)
            rate = self.options.head_rate / (1 + square)
            for weight, gradient in zip(self.head_weights, gradients, strict=True):
                weight.requires_grad_(False)
                weight.sub_(rate * gradient)


class FastOneStep(FastSplit):
    """The split pass that also cuts the cell's way through time: nothing links the steps.

    The gradient of truncated backpropagation over one step with a carried state.
    """

    THROUGH_CELL = False
