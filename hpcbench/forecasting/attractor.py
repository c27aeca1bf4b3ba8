"""Does a forecaster live on the right attractor? Statistics of long runs, Lyapunov exponents."""

from collections.abc import Callable
from dataclasses import dataclass

import h5py
import numpy as np
from pydantic import Field

from hpcbench.config.tree import Config
from hpcbench.data.dataset import Dataset
from hpcbench.data.windows import read_windows
from hpcbench.errors import InputError
from hpcbench.forecasting.model_lyapunov import LyapunovSpectrum, forecaster_rates
from hpcbench.forecasting.spectra import ClimateDistances, climate_distances, divergence_rate
from hpcbench.models.forecaster import Forecaster
from hpcbench.parallel.communicator import Communicator
from hpcbench.run.record import Metric

FreeRun = Callable[[np.ndarray, int], np.ndarray]
"""Warm-up ``(row, time, component)`` and a number of samples → that many forecast samples."""

NUM_STARTS = 4
"""Starts over which Lyapunov exponents are averaged."""

MIN_STEPS = 8
"""Samples that a run must at least have for a spectrum."""

UNITS = {
    "mean": "standard deviations",
    "distribution": "standard deviations",
    "spectrum_decibel": "dB",
    "spatial_decibel": "dB",
    "state_space": "nats",
}
"""Units of the distances that have one."""


class AttractorConfig(Config):
    """What is asked of a forecaster beyond its valid prediction time; by default nothing.

    climate
        Length in Lyapunov times of free runs whose statistics are compared with the truth.
    runs
        Number of these runs, from as many test trajectories.
    exponents
        Number of leading Lyapunov exponents of the forecaster in closed loop.
    exponent_time
        Length in Lyapunov times of the runs that measure them, after a fifth of that unmeasured.
    """

    climate: float = Field(0.0, ge=0)
    runs: int = Field(16, ge=1)
    exponents: int = Field(0, ge=0)
    exponent_time: float = Field(20.0, gt=0)

    def check_fits(self, dataset: Dataset, warm_up: int, lyapunov_exponent: float) -> None:
        """Raise :class:`InputError` where the dataset is too small for what is asked."""
        members = len(dataset.members("test"))
        if self.climate and self.runs > members:
            raise InputError(
                f"forecast.attractor.runs: given {self.runs}, but {dataset.path} has {members} "
                f"test trajectories; give 1 to {members}"
            )
        unit = dataset.sample_interval * lyapunov_exponent
        room = dataset.num_samples - warm_up
        if self.climate and not MIN_STEPS <= round(self.climate / unit) <= room:
            raise InputError(
                f"forecast.attractor.climate: given {self.climate:g} Lyapunov times after "
                f"{warm_up} samples of warm-up; the trajectories of {dataset.path} leave room for "
                f"{MIN_STEPS * unit:.3g} to {room * unit:.3g}"
            )


@dataclass(frozen=True)
class Attractor:
    """What was found.

    climate
        Distances of the forecasts' statistics from the truth's, None when not asked for.
    floor
        The same of other true trajectories, as far as chance alone takes them; None without
        enough validation trajectories.
    divergence_rate
        Share of runs that leave the mean by five standard deviations.
    spectrum
        Lyapunov exponents of the forecaster, None when not asked for.
    """

    runs: int
    climate: ClimateDistances | None
    floor: ClimateDistances | None
    divergence_rate: float
    spectrum: LyapunovSpectrum | None

    def metrics(self) -> list[Metric]:
        """Return everything as metrics."""
        metrics = []
        for suffix, distances in (("", self.climate), ("_of_truth", self.floor)):
            if distances is None:
                continue
            better = "none" if suffix else "lower"
            for name, value in vars(distances).items():
                unit = UNITS.get(name, "")
                metrics.append(Metric(f"climate_{name}{suffix}", value, unit, better, self.runs))  # type: ignore[arg-type]
        if self.climate is not None:
            metrics.append(Metric("divergence_rate", self.divergence_rate, "", "lower", self.runs))
        if self.spectrum is not None:
            found, unit = self.spectrum, "1/model time"
            error = float(found.standard_error[0])
            dimension = found.dimension
            metrics += [
                Metric("model_lyapunov_exponent", float(found.exponents[0]), unit, n=NUM_STARTS),
                Metric("model_lyapunov_standard_error", error, unit, n=NUM_STARTS),
                Metric("model_entropy", found.entropy, unit, n=NUM_STARTS),
            ]
            if np.isfinite(dimension):  # enough exponents were asked for
                metrics.append(Metric("model_kaplan_yorke_dimension", dimension, n=NUM_STARTS))
        return metrics

    def write(self, file: h5py.File) -> None:
        """Add the Lyapunov exponents to an open ``forecast.h5``."""
        if self.spectrum is not None:
            file["model_lyapunov_exponents"] = self.spectrum.exponents
            file["model_lyapunov_standard_error"] = self.spectrum.standard_error


def explore(
    forecaster: Forecaster,
    dataset: Dataset,
    config: AttractorConfig,
    warm_up: int,
    lyapunov_exponent: float,
    ranks: Communicator,
    free_run: FreeRun,
) -> Attractor | None:
    """Return what the configuration asks for, shared out over ranks; None for nothing."""
    if not config.climate and not config.exponents:
        return None
    climate, floor, rate, spectrum = None, None, 0.0, None
    if config.climate:
        steps = round(config.climate / (lyapunov_exponent * dataset.sample_interval))
        forecast, truth = _long_runs(dataset, config.runs, warm_up, steps, ranks, free_run)
        climate = climate_distances(forecast, truth)
        rate = divergence_rate(forecast, dataset.mean, dataset.std)
        others = dataset.members("validation")[: config.runs]
        if len(others) == config.runs:
            other = read_windows(dataset, others, np.full(len(others), warm_up), steps)
            floor = climate_distances(other.astype(np.float64), truth)
    if config.exponents:
        steps = round(config.exponent_time / (lyapunov_exponent * dataset.sample_interval))
        spectrum = _spectrum(forecaster, dataset, config.exponents, warm_up, max(1, steps), ranks)
    return Attractor(config.runs, climate, floor, rate, spectrum)


def _long_runs(
    dataset: Dataset,
    runs: int,
    warm_up: int,
    steps: int,
    ranks: Communicator,
    free_run: FreeRun,
) -> tuple[np.ndarray, np.ndarray]:
    """Return free runs of the first test trajectories and the truth, ``(run, time, component)``."""
    rows = ranks.share(runs)
    members = dataset.members("test")[rows.start : rows.stop]
    windows = read_windows(dataset, members, np.zeros_like(members), warm_up + steps)
    warm, truth = np.split(windows.astype(np.float64), [warm_up], axis=1)
    parts = ranks.gather((free_run(warm, steps), truth))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _spectrum(
    forecaster: Forecaster,
    dataset: Dataset,
    num_exponents: int,
    warm_up: int,
    steps: int,
    ranks: Communicator,
) -> LyapunovSpectrum:
    """Return the Lyapunov exponents averaged over starts in the test trajectories."""
    members = dataset.members("test")
    index = np.arange(NUM_STARTS)
    # where there are fewer trajectories than starts, some lie later in one of them
    starts = index * (dataset.num_samples - warm_up) // NUM_STARTS
    rows = ranks.share(NUM_STARTS)
    mine = slice(rows.start, rows.stop)
    warm = read_windows(dataset, members[index % len(members)][mine], starts[mine], warm_up)
    rates = forecaster_rates(
        forecaster,
        warm.astype(np.float64),
        num_exponents,
        steps,
        dataset.sample_interval,
        transient=steps // 5,
    )
    return LyapunovSpectrum(np.concatenate(ranks.gather(rates)))
