"""Run a forecaster free: after a warm-up on the truth it sees only its own predictions."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hpcbench.console import progress
from hpcbench.models.forecaster import Forecaster, State
from hpcbench.parallel.communicator import Communicator

Exchange = Callable[[Tensor], Tensor]
"""Adds to a part of a ring ``(row, time, site)`` its neighbours held by other ranks."""


@torch.no_grad()
def free_run(
    forecaster: Forecaster,
    warm: np.ndarray,
    horizon: int,
    ranks: Communicator | None = None,
    exchange: Exchange | None = None,
    show: bool = True,
) -> np.ndarray:
    """Return ``horizon`` forecast samples after the warm-up, ``(row, horizon, component)``.

    The state is accumulated in float64 whatever the parameters' dtype: increments of a finely
    sampled series lie near the rounding of float32. Units are the system's.

    Parameters
    ----------
    forecaster
        The model.
    warm
        True samples ``(row, warm_up, component)``, in the system's units.
    horizon
        Samples to forecast.
    ranks
        Where it runs; the first rank shows progress. By default this process alone, where the
        model is, without progress.
    exchange
        With local coupling, ``warm`` may be a part of a ring whose other parts lie on other
        ranks; this function then adds the halo before every step.
    show
        Whether progress is shown.
    """
    device = forecaster.scale_mean.device if ranks is None else ranks.device
    show = show and ranks is not None and ranks.is_first
    present = forecaster.normalise(torch.from_numpy(warm).to(device))
    predicted = torch.empty((len(warm), horizon, warm.shape[2]), dtype=torch.float64)
    state: State | None = None
    with progress(horizon, "forecast", show) as advance:
        for sample in range(horizon):
            seen = present if exchange is None else exchange(present)
            inputs = seen.to(forecaster.dtype)
            scaled, state = forecaster(inputs, state, halo_given=exchange is not None)
            present = forecaster.next_state(present[:, -1:], scaled[:, -1:])
            predicted[:, sample] = forecaster.restore(present[:, 0]).cpu()
            advance()
    return predicted.numpy()
