"""The trained model of a run, loaded to forecast."""

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from hpcbench.config.tree import validate
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.embedding.reduction import Reduction
from hpcbench.errors import InputError
from hpcbench.forecasting.free_run import free_run
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling
from hpcbench.run.checkpoint import require_checkpoint
from hpcbench.run.record import RUN, RunRecord


class TrainedForecaster(Forecaster):
    """A forecaster with the weights of a run; made by :func:`load_forecaster`.

    Attributes
    ----------
    run
        The run's definition, the content of its ``run.json``: ``config`` and ``dataset``.
    """

    def __init__(
        self,
        config: ModelConfig,
        scaling: Scaling,
        embedding: EmbeddingConfig,
        run: Mapping[str, Any],
    ) -> None:
        super().__init__(config, scaling, embedding)
        self.run = run

    def forecast(self, states: ArrayLike, steps: int) -> np.ndarray:
        """Continue series: after the given states the model sees only its own predictions.

        The result is that of :func:`~hpcbench.forecasting.free_run.free_run`, which scores use.

        Parameters
        ----------
        states
            True states ``(time, component)`` or ``(batch, time, component)`` in the system's units,
            one step of the model apart: ``sample_interval`` of the dataset, times
            ``embedding.stride``. The last one is the present. A model that remembers nothing needs
            one; with delays it needs ``forecaster.reach + 1``; a recurrent network forecasts well
            once it has seen as many as its scores were made with, the ``forecast.warm_up`` of
            ``forecaster.run["config"]``.
        steps
            States to forecast, at least 1.

        Returns
        -------
        numpy.ndarray
            The ``steps`` states that follow, ``(steps, component)`` or
            ``(batch, steps, component)``, float64, in the system's units.

        Raises
        ------
        InputError
            The states are too few, are not finite, or have not the components of the model.
        """
        try:
            given = np.array(states, dtype=np.float64)  # a copy: PyTorch refuses read-only maps
        except (TypeError, ValueError) as error:
            raise InputError(f"forecast: states: no array of numbers: {error}") from None
        if given.ndim not in (2, 3):
            raise InputError(
                f"forecast: states: given the shape {given.shape}; valid: (time, component) or "
                "(batch, time, component)"
            )
        try:
            steps = operator.index(steps)
        except TypeError:
            raise InputError(f"forecast: steps: given {steps!r}; give a whole number") from None
        if steps < 1:
            raise InputError(f"forecast: steps: given {steps}; give at least 1")
        if given.shape[-2] <= self.reach:
            raise InputError(
                f"forecast: states: given {given.shape[-2]} samples; the model reads "
                f"{self.reach + 1} at a time: give at least as many"
            )
        self.check_fits(given.shape[-1])
        if not np.isfinite(given).all():
            raise InputError("forecast: states: not all are finite; leave out the rest of a series")
        batch = given if given.ndim == 3 else given[None]
        predicted = free_run(self, batch, steps)
        return predicted if given.ndim == 3 else predicted[0]


def load_forecaster(run: Path | str) -> TrainedForecaster:
    """Load the trained model of a run folder.

    Parameters
    ----------
    run
        The folder that ``hpcbench train`` wrote, or :func:`hpcbench.train` (``result.path``).

    Returns
    -------
    TrainedForecaster
        ``forecaster.forecast(states, steps)`` continues series; ``forecaster.run`` is the run's
        definition.

    Raises
    ------
    InputError
        The folder holds no run, one of another version, or no readable checkpoint.
    """
    run = Path(run)
    if not (run / RUN).is_file():
        raise InputError(f"{run}: is no run: it has no {RUN}; give a folder that training wrote")
    definition = RunRecord.read(run / RUN)
    config = definition.config
    missing = [name for name in ("model", "train") if not isinstance(config.get(name), Mapping)]
    if missing:
        raise InputError(f"{run / RUN}: config: has no table {' and no table '.join(missing)}")
    checkpoint = require_checkpoint(run)
    saved = {name: tensor.numpy() for name, tensor in checkpoint.model.items()}
    reduction = None
    if "reduce_basis" in saved:
        reduction = Reduction(*(saved[f"reduce_{name}"] for name in ("basis", "inverse", "spread")))
    mean, std, increment = (saved[f"scale_{name}"] for name in ("mean", "std", "increment"))
    model = validate(ModelConfig, config["model"], f"{run}/run.json")
    embedding = validate(EmbeddingConfig, config.get("embedding", {}), f"{run}/run.json")
    scaling = Scaling(mean, std, increment, reduction)
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and then replaced
        forecaster = TrainedForecaster(model, scaling, embedding, definition.as_json())
    dtype = config["train"].get("dtype", "float32")
    if dtype not in ("float32", "float64"):
        raise InputError(
            f"{run / RUN}: config.train.dtype: given {dtype!r}; valid: float32, float64"
        )
    forecaster.set_dtype(getattr(torch, dtype))  # first: loading converts
    forecaster.load_state_dict(checkpoint.model)
    return forecaster
