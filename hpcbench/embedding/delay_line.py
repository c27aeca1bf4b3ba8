"""Delay coordinates in front of a cell, whatever the cell is: as one vector, or in sequence."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hpcbench.embedding.components import PrincipalComponents
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.errors import InputError

State = tuple[Tensor, ...]


class DelayLine(nn.Module):
    r"""A cell that reads delay vectors :math:`[x_t, x_{t-\tau}, \dots, x_{t-(m-1)\tau}]`.

    The past is a part of the carried state, its last one: ``(*state of the cell, history)`` with
    history ``(reach, batch, num_inputs)``. So windows, free runs and checkpoints treat it as any
    other state. A state of the history alone stands for the zero state of the cell; without any
    state, the series is taken to have stood still before its first sample.

    With ``delay_components`` the cell reads :math:`\Lambda_r^{-1/2} V_r^T` times the vector, the
    whitened leading principal components that :meth:`fit` finds (Broomhead and King 1986).

    Parameters
    ----------
    cell
        The cell, built for as many inputs as :meth:`EmbeddingConfig.num_features` says.
    num_inputs
        Inputs at one time.
    embedding
        Number of delays, their distance, and the components of their vector.
    """

    projection: Tensor | None

    def __init__(self, cell: nn.Module, num_inputs: int, embedding: EmbeddingConfig) -> None:
        super().__init__()
        self.cell = cell
        self.embedding = embedding
        if hasattr(cell, "num_outputs"):
            self.num_outputs = cell.num_outputs
        projection = None
        if embedding.delay_components is not None:
            size = num_inputs * embedding.delays
            if embedding.delay_components > size:
                raise InputError(
                    f"embedding.delay_components: given {embedding.delay_components}, but "
                    f"{embedding.delays} delays of {num_inputs} inputs have {size}; valid: 1 to "
                    f"{size}"
                )
            projection = torch.zeros(size, embedding.delay_components, dtype=torch.float64)
        self.register_buffer("projection", projection)

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return the cell's hidden states ``(batch, time, hidden)`` and the state after them."""
        extended, history = with_history(inputs, state, self.embedding.reach)
        features = self.vectors(extended)
        if self.projection is not None:
            features = features @ self.projection
        before = None if state is None else state[:-1] or None
        hidden, after = self.cell(features, before)
        return hidden, (*after, history)

    def vectors(self, extended: Tensor) -> Tensor:
        """Return delay vectors, newest sample first, of inputs that start ``reach`` earlier."""
        return torch.cat(delayed(extended, self.embedding), dim=-1)

    def fit(self, series: Iterable[Tensor]) -> None:
        """Take the projection from training inputs ``(row, time, num_inputs)`` in float64."""
        assert self.projection is not None
        moment, number = torch.zeros(1, dtype=torch.float64), 0
        for rows in series:
            vectors = self.vectors(rows).flatten(0, 1)
            moment = moment + (vectors.T @ vectors).cpu()
            number += len(vectors)
        found = PrincipalComponents.of_covariance((moment / number).numpy())
        basis, _ = found.leading(self.projection.shape[1]).matrix(whiten=True)
        self.projection.copy_(torch.from_numpy(basis.copy()))


class DelaySequence(nn.Module):
    r"""A cell that reads :math:`x_{t-(m-1)\tau}, \dots, x_{t-\tau}, x_t` anew at every step.

    It starts from its zero state each time, so it remembers these samples and nothing else. What
    it computes in a free run is what it was trained to compute, whereas a state that is carried
    on leaves the lengths over which it was trained. The carried state is the history alone,
    ``(reach, batch, num_inputs)``, treated as by :class:`DelayLine`.

    Parameters
    ----------
    cell
        The cell, built for ``num_inputs`` inputs.
    embedding
        Number of delays and their distance.
    """

    def __init__(self, cell: nn.Module, embedding: EmbeddingConfig) -> None:
        super().__init__()
        self.cell = cell
        self.embedding = embedding
        if hasattr(cell, "num_outputs"):
            self.num_outputs = cell.num_outputs
        if embedding.delays == 1:  # they only ever meet the zero state
            for name, weight in cell.named_parameters():
                if "weight_hh" in name:
                    weight.requires_grad_(False)

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return the cell's last hidden states ``(batch, time, hidden)`` and the history."""
        extended, history = with_history(inputs, state, self.embedding.reach)
        oldest_first = delayed(extended, self.embedding)[::-1]
        sequences = torch.stack(oldest_first, dim=2).flatten(0, 1)
        hidden, _ = self.cell(sequences, None)
        return hidden[:, -1].unflatten(0, inputs.shape[:2]), (history,)


def with_history(inputs: Tensor, state: State | None, reach: int) -> tuple[Tensor, Tensor]:
    """Return inputs with the ``reach`` ones before them, and the history to carry on.

    The history is the last part of the state, ``(reach, batch, num_inputs)``; without a state,
    the series is taken to have stood still before its first sample.
    """
    history = inputs[:, :1].expand(-1, reach, -1) if state is None else state[-1].transpose(0, 1)
    extended = torch.cat([history, inputs], dim=1)
    return extended, extended[:, extended.shape[1] - reach :].transpose(0, 1)


def delayed(extended: Tensor, embedding: EmbeddingConfig) -> list[Tensor]:
    """Return ``extended`` seen 0, τ, … (m - 1) τ steps back, ``(batch, time, num_inputs)`` each."""
    time = extended.shape[1] - embedding.reach
    firsts = range(embedding.reach, -1, -embedding.delay)
    return [extended[:, first : first + time] for first in firsts]
