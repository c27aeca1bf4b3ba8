"""Forecast a ring larger than the one that was trained on, spread over ranks.

A solution of a ring of D sites, repeated k times, solves the ring of k D sites. So the truth of
any multiple of the dataset's sites is known without simulating it, until rounding errors break
the repetition: the same valid prediction time is expected as on the small ring.
"""

import numpy as np
import torch
from torch import Tensor

from hpcbench.data.dataset import Dataset
from hpcbench.data.windows import read_windows
from hpcbench.errors import InputError
from hpcbench.forecasting.evaluation import (
    NUM_EXAMPLES,
    Evaluation,
    ForecastConfig,
    initial_conditions,
)
from hpcbench.forecasting.free_run import free_run
from hpcbench.forecasting.metrics import climatology, persistence
from hpcbench.models.forecaster import Forecaster
from hpcbench.parallel.communicator import Communicator
from hpcbench.parallel.ranks import Ranks
from hpcbench.run.timing import clock


def evaluate_ring(
    forecaster: Forecaster,
    dataset: Dataset,
    config: ForecastConfig,
    ranks: Communicator,
    num_sites: int,
) -> Evaluation:
    """Forecast rings of ``num_sites``: every rank holds a stretch of sites of all of them.

    Before every step a rank sends its outermost sites, the halo, to its two neighbours. Errors
    are those of whole rings; the stored examples show the first rank's sites.

    Raises
    ------
    InputError
        The model is not local, the sites are no multiple of the dataset's, or a rank would hold
        fewer sites than the halo.
    """
    _check(forecaster, dataset, ranks, num_sites)
    start = initial_conditions(dataset, config)
    begin = clock()
    length = config.warm_up + start.horizon
    windows = read_windows(dataset, start.members, start.samples, length).astype(np.float64)
    sites = ranks.share(num_sites)
    windows = windows[..., np.arange(sites.start, sites.stop) % dataset.num_components]
    warm, truth = windows[:, : config.warm_up], windows[:, config.warm_up :]
    predicted = free_run(
        forecaster,
        warm,
        start.horizon,
        ranks,
        lambda part: add_halo(part, forecaster.halo, ranks),
    )
    seconds = max(ranks.gather(clock() - begin))
    columns = np.arange(sites.start, sites.stop) % dataset.num_components
    mean, std = dataset.mean[columns], dataset.std[columns]

    def error_of(states: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            squares = np.sum(((states - truth) / std) ** 2, axis=-1)
            error = np.sqrt(ranks.sum(squares) / num_sites)
        return np.where(np.isnan(error), np.inf, error)

    return Evaluation(
        config=config,
        sample_interval=dataset.sample_interval,
        lyapunov_exponent=start.lyapunov_exponent,
        error=error_of(predicted),
        persistence_error=error_of(persistence(warm[:, -1], truth)),
        climatology_error=error_of(climatology(mean, truth)),
        truth=truth[:NUM_EXAMPLES],
        forecast=predicted[:NUM_EXAMPLES],
        seconds=seconds,
    )


def add_halo(part: Tensor, halo: tuple[int, int], ranks: Ranks) -> Tensor:
    """Return a stretch of a ring with sites of the neighbouring ranks on the left and right.

    ``part`` is ``(row, time, site)``; ``halo`` says how many sites on either side. The ring closes
    from the last rank to the first.
    """
    if not any(halo):
        return part
    left, right = (ranks.rank - 1) % ranks.size, (ranks.rank + 1) % ranks.size
    # what lies left of one rank is the end of the rank before it
    last = part[..., part.shape[-1] - halo[0] :].contiguous().cpu().numpy()
    first = part[..., : halo[1]].contiguous().cpu().numpy()
    if ranks.size == 1:
        before, after = last, first
    else:
        before, after = np.empty_like(last), np.empty_like(first)
        ranks.comm.Sendrecv(last, dest=right, sendtag=0, recvbuf=before, source=left, recvtag=0)
        ranks.comm.Sendrecv(first, dest=left, sendtag=1, recvbuf=after, source=right, recvtag=1)
    sides = (torch.from_numpy(side).to(part.device) for side in (before, after))
    return torch.cat([next(sides), part, next(sides)], dim=-1)


def _check(forecaster: Forecaster, dataset: Dataset, ranks: Ranks, num_sites: int) -> None:
    size, widest = dataset.num_components, max(forecaster.halo)
    if not forecaster.local:
        raise InputError(
            '--sites: only a model trained with coupling = "local" forecasts other rings'
        )
    if num_sites < size or num_sites % size:
        nearest = max(1, round(num_sites / size)) * size
        raise InputError(
            f"--sites: given {num_sites}; valid: multiples of the {size} sites of {dataset.path}; "
            f"nearest: {nearest}"
        )
    if num_sites // ranks.size < widest:
        raise InputError(
            f"--sites: given {num_sites}, too few for {ranks.size} ranks: each needs at least the "
            f"{widest} sites of the halo"
        )
