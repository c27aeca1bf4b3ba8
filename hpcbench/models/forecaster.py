"""A one-step forecaster: normalised state → embedding → cell → head → next state."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hpcbench.data.dataset import Dataset
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.embedding.delay_line import DelayLine, DelaySequence
from hpcbench.embedding.reduction import Reduction, training_reduction
from hpcbench.errors import InputError
from hpcbench.models.config import ModelConfig, cell_class
from hpcbench.models.heads import build_head

State = tuple[Tensor, ...]

NUM_SCALING_MEMBERS = 16


@dataclass(frozen=True)
class Scaling:
    """Affine scaling of a system's components, as the forecaster uses it.

    mean, std
        Per component ``(component,)``, in the system's units.
    increment
        Standard deviation of ``x(t + interval) - x(t)`` after normalisation, per component.
    reduction
        Where principal components are forecast: how normalised states become components.
    """

    mean: np.ndarray
    std: np.ndarray
    increment: np.ndarray
    reduction: Reduction | None = None

    def shared(self) -> "Scaling":
        """Return the same scaling for every component, as translation symmetry demands."""
        variance = np.mean(self.std**2 + (self.mean - self.mean.mean()) ** 2)
        spread = np.sqrt(variance)
        increment = np.sqrt(np.mean((self.increment * self.std) ** 2)) / spread
        ones = np.ones_like(self.mean)
        return Scaling(self.mean.mean() * ones, spread * ones, increment * ones)


class Forecaster(nn.Module):
    """Predict the next state of a series from the present one and a carried state.

    All tensors are normalised: ``x = (state - mean) / std``. The network's output is the
    *scaled target*: the next normalised state, or the increment in units of its standard
    deviation (``target = "increment"``), so that the loss is of order one before training.

    With ``coupling = "local"`` the sites of a ring are rows of one batch: every site sees its
    own value and the neighbours within the ``halo``, all sites share the weights, and mean and
    std are one number each, so the same weights forecast a ring of any size.

    An embedding may change what is forecast: with principal components, these take the place of
    the components, and :meth:`restore` gives whole states again. And it may change what the cell
    reads: with delays, the recent past is a part of the carried state.

    Parameters
    ----------
    config
        The model section of a run.
    scaling
        Scaling of the training data, ``(component,)`` each.
    embedding
        The embedding section of a run; by default the cell reads the present state.
    """

    scale_mean: Tensor
    scale_std: Tensor
    scale_increment: Tensor
    reduce_basis: Tensor | None
    reduce_inverse: Tensor | None
    reduce_spread: Tensor | None

    def __init__(
        self, config: ModelConfig, scaling: Scaling, embedding: EmbeddingConfig | None = None
    ) -> None:
        super().__init__()
        self.embedding = embedding or EmbeddingConfig()
        num_components = len(scaling.increment)
        self.local = config.coupling == "local"
        self.increment = config.target == "increment"
        self.halo = config.sides if self.local else (0, 0)
        if self.local:
            scaling = scaling.shared()
        self.num_inputs = sum(self.halo) + 1 if self.local else num_components
        num_outputs = 1 if self.local else num_components
        self.core = cell_class(config.cell)(
            self.embedding.num_features(self.num_inputs),
            config.hidden,
            config.layers,
            config.cell_options(),
        )
        if self.embedding.layout == "sequence":
            self.core = DelaySequence(self.core, self.embedding)
        elif self.embedding.delays > 1:
            self.core = DelayLine(self.core, self.num_inputs, self.embedding)
        width_of_core = getattr(self.core, "num_outputs", config.hidden)
        self.head = build_head(config.head, width_of_core, num_outputs)
        self.skip = nn.Linear(self.num_inputs, num_outputs, bias=False) if config.skip else None
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)
        width = 1 if self.local else None
        for name in ("mean", "std", "increment"):
            values = torch.tensor(getattr(scaling, name)[:width], dtype=torch.float64)
            self.register_buffer(f"scale_{name}", values)
        for name in ("basis", "inverse", "spread"):
            matrix = getattr(scaling.reduction, name, None)
            self.register_buffer(
                f"reduce_{name}", None if matrix is None else torch.from_numpy(matrix.copy())
            )

    def check_fits(self, num_components: int) -> None:
        """Raise :class:`InputError` unless states of ``num_components`` can be forecast."""
        if self.local and self.num_inputs > num_components:
            left, right = self.halo
            given, room = left if left == right else [left, right], num_components - 1
            raise InputError(
                f"model.halo: given {given}, but a ring of {num_components} sites has room for at "
                f"most {room // 2} on either side or {room} on both together"
            )
        if not self.local and len(self.scale_mean) != num_components:
            raise InputError(
                f"the model forecasts {len(self.scale_mean)} components and the data have "
                f'{num_components}; only a model with coupling = "local" fits any ring'
            )

    def set_dtype(self, dtype: torch.dtype) -> None:
        """Set the type of parameters and activations; the scaling stays float64."""
        for part in self.children():
            part.to(dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Type of parameters and activations."""
        return next(self.head.parameters()).dtype

    def normalise(self, states: Tensor) -> Tensor:
        """Return ``(states - mean) / std`` in float64, or the principal components of that."""
        scaled = (states.double() - self.scale_mean) / self.scale_std
        return scaled if self.reduce_basis is None else scaled @ self.reduce_basis

    def restore(self, normalised: Tensor) -> Tensor:
        """Return states in the system's units, float64."""
        if self.reduce_inverse is not None:
            normalised = normalised @ self.reduce_inverse
        return normalised * self.scale_std + self.scale_mean

    def principal_components(self, states: np.ndarray) -> np.ndarray:
        """Return the principal components of states, in units of their standard deviation."""
        assert self.reduce_spread is not None
        device = self.scale_mean.device
        components = self.normalise(torch.from_numpy(np.array(states)).to(device))
        return np.asarray((components / self.reduce_spread).cpu().numpy())

    @property
    def reach(self) -> int:
        """Steps before the first one that the cell's input reaches back."""
        return self.embedding.reach

    def start(self, before: Tensor) -> State | None:
        """Return the zero state of the cell after ``reach`` known steps.

        ``before`` is ``(batch, reach, component)``, normalised; None stands for the zero state
        where the input reaches no step back.
        """
        if self.reach == 0:
            return None
        return (self.rows(before.to(self.dtype)).transpose(0, 1),)

    def fit_embedding(self, dataset: Dataset) -> None:
        """Take from training data what the embedding needs before any training."""
        if isinstance(self.core, DelayLine) and self.core.projection is not None:
            members = dataset.members("train")[:NUM_SCALING_MEMBERS]
            arrays = (np.asarray(dataset.trajectory(m), dtype=np.float64)[None] for m in members)
            self.core.fit(self.rows(self.normalise(torch.from_numpy(array))) for array in arrays)

    def forward(
        self, normalised: Tensor, state: State | None, halo_given: bool = False
    ) -> tuple[Tensor, State]:
        """Return the scaled target of every step and the state after the last one.

        Parameters
        ----------
        normalised
            ``(batch, time, component)`` in the parameters' dtype.
        state
            Carried state or None; with local coupling its batch axis is ``batch * component``.
        halo_given
            The first and last components, as many as the halo has on the left and on the right,
            are neighbours held by other ranks; by default the ring closes on itself.
        """
        rows = self.rows(normalised, halo_given)
        hidden, state = self.core(rows, state)
        return self.components(self.read_out(hidden, rows), len(normalised)), state

    def rows(self, normalised: Tensor, halo_given: bool = False) -> Tensor:
        """Return what the cell reads, ``(row, time, num_inputs)``.

        A row is a sequence with global coupling, a site of a sequence with local coupling.
        """
        if not self.local:
            return normalised
        neighbourhoods = self._neighbourhoods(normalised, halo_given)
        return neighbourhoods.reshape(-1, normalised.shape[1], self.num_inputs)

    def read_out(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Return the scaled target of rows, ``(row, time, output)``, from the cell's output."""
        scaled: Tensor = self.head(hidden)
        return scaled if self.skip is None else scaled + self.skip(rows)

    def components(self, outputs: Tensor, batch: int) -> Tensor:
        """Return rows' outputs ``(row, time, output)`` as ``(batch, time, component)``."""
        if not self.local:
            return outputs
        return outputs.reshape(batch, -1, outputs.shape[1]).transpose(1, 2)

    def outputs(self, components: Tensor) -> Tensor:
        """Return ``(batch, time, component)`` as rows' outputs: undo :meth:`components`."""
        if not self.local:
            return components
        return components.transpose(1, 2).reshape(-1, components.shape[1], 1)

    def _neighbourhoods(self, normalised: Tensor, halo_given: bool) -> Tensor:
        """Return ``(batch, site, time, num_inputs)``: each site with its neighbours."""
        if any(self.halo) and not halo_given:
            left, right = self.halo
            last = normalised[..., normalised.shape[-1] - left :]
            normalised = torch.cat([last, normalised, normalised[..., :right]], dim=-1)
        return normalised.unfold(-1, self.num_inputs, 1).transpose(1, 2)

    def scaled_target(self, normalised: Tensor, following: Tensor) -> Tensor:
        """Return what :meth:`forward` should give for ``normalised`` followed by ``following``."""
        if self.increment:
            return (following - normalised) / self.scale_increment
        return following

    def next_state(self, normalised: Tensor, scaled: Tensor) -> Tensor:
        """Return the next normalised state in float64 from :meth:`forward`'s output."""
        if self.increment:
            return normalised.double() + scaled.double() * self.scale_increment
        return scaled.double()

    @torch.no_grad()
    def one_step_loss(self, states: Tensor) -> Tensor:
        """Return each row's mean squared error of one-step prediction, ``(batch,)`` in float64.

        ``states`` is ``(batch, reach + time + 1, component)``, normalised, float64; the network
        starts from the zero state.
        """
        state, states = self.start(states[:, : self.reach]), states[:, self.reach :]
        inputs, following = states[:, :-1], states[:, 1:]
        scaled, _ = self(inputs.to(self.dtype), state)
        error = scaled.double() - self.scaled_target(inputs, following)
        return (error**2).mean(dim=(1, 2)).cpu()


def training_scaling(dataset: Dataset, embedding: EmbeddingConfig | None = None) -> Scaling:
    """Return mean and std of the training split, and the spread of its increments.

    The increments are taken from up to ``NUM_SCALING_MEMBERS`` training trajectories. Principal
    components are those of states with one common scale.
    """
    reduction, std = None, dataset.std
    if embedding is not None and embedding.projects:
        std = np.full_like(dataset.std, np.sqrt(np.mean(dataset.std**2)))
        reduction = training_reduction(dataset, std, embedding)
    squares = np.zeros(dataset.num_components if reduction is None else reduction.basis.shape[1])
    members = dataset.members("train")[:NUM_SCALING_MEMBERS]
    for member in members:
        increments = np.diff(np.asarray(dataset.trajectory(member), dtype=np.float64), axis=0)
        scaled = increments / std
        squares += np.mean((scaled if reduction is None else scaled @ reduction.basis) ** 2, axis=0)
    return Scaling(dataset.mean, std, np.sqrt(squares / len(members)), reduction)
