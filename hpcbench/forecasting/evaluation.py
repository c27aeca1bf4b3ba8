"""How good forecasts are: initial conditions, free runs, and their scores.

A network is warmed up on the truth and then runs free; its error is compared with that of
persistence and climatology.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from pydantic import Field, model_validator

from hpcbench.config.tree import Config
from hpcbench.data.dataset import Dataset
from hpcbench.data.windows import read_windows
from hpcbench.errors import InputError
from hpcbench.forecasting.attractor import Attractor, AttractorConfig, explore
from hpcbench.forecasting.free_run import free_run
from hpcbench.forecasting.metrics import climatology, nrmse, persistence, valid_prediction_time
from hpcbench.models.forecaster import Forecaster
from hpcbench.parallel.communicator import Communicator
from hpcbench.run.files import replaced
from hpcbench.run.record import Metric
from hpcbench.run.timing import clock

NUM_EXAMPLES = 3
"""Forecasts that are stored whole, for pictures."""


class ForecastConfig(Config):
    """How forecasts are made and scored.

    initial_conditions
        Independent initial conditions (0: no evaluation).
    split
        Whose trajectories are forecast: ``validation`` while settings are being chosen, ``test``
        once they are.
    warm_up
        True samples the network sees before it runs free.
    horizon
        Length of the free forecast in Lyapunov times, at most what the data hold.
    threshold
        NRMSE that ends a valid forecast.
    score
        ``state``: errors are those of whole states. ``components``: of the principal components
        that are forecast, each in units of its standard deviation.
    lyapunov_exponent
        Largest exponent per unit of model time; by default the dataset's.
    attractor
        What is asked beyond valid forecasts: statistics of long runs, Lyapunov exponents.
    """

    initial_conditions: int = Field(100, ge=0)
    split: Literal["validation", "test"] = "test"
    warm_up: int = Field(100, ge=1)
    horizon: float = Field(10.0, gt=0)
    threshold: float = Field(0.5, gt=0)
    score: Literal["state", "components"] = "state"
    lyapunov_exponent: float | None = Field(None, gt=0)
    attractor: AttractorConfig = Field(default_factory=AttractorConfig)

    @model_validator(mode="after")
    def _consistent(self) -> "ForecastConfig":
        if self.split != "test" and (self.attractor.climate or self.attractor.exponents):
            raise ValueError(
                f'split: given "{self.split}", but forecast.attractor looks at the test split; '
                "leave one of the two out"
            )
        return self


def validation_forecasts(config: ForecastConfig, initial_conditions: int) -> ForecastConfig:
    """Return the forecasts of a validation: as the final ones, but few and nothing beyond VPT."""
    few = {"initial_conditions": initial_conditions, "attractor": AttractorConfig()}
    return config.model_copy(update=few | {"split": "validation"})


@dataclass(frozen=True)
class InitialConditions:
    """Where the forecasts start and how long they run.

    members, samples
        Trajectory and first warm-up sample of each forecast, ``(initial_condition,)``.
    horizon
        Samples of each free forecast.
    lyapunov_exponent
        Largest exponent per unit of model time.
    """

    members: np.ndarray
    samples: np.ndarray
    horizon: int
    lyapunov_exponent: float


def initial_conditions(dataset: Dataset, config: ForecastConfig) -> InitialConditions:
    """Choose starts in a split's trajectories: spread over members first, then over time.

    Two forecasts in one trajectory do not overlap.

    Raises
    ------
    InputError
        The dataset has no Lyapunov exponent, or too few or too short trajectories.
    """
    exponent = config.lyapunov_exponent or dataset.lyapunov_exponent
    if not exponent:
        raise InputError(
            f"{dataset.path}: states no largest Lyapunov exponent, and valid prediction times are "
            "counted in Lyapunov times; give forecast.lyapunov_exponent"
        )
    config.attractor.check_fits(dataset, config.warm_up, exponent)
    horizon = round(config.horizon / (exponent * dataset.sample_interval))
    members = dataset.members(config.split)
    length = config.warm_up + horizon
    per_member = dataset.num_samples // length
    if horizon == 0 or per_member == 0:
        room = max(0, dataset.num_samples - config.warm_up) * dataset.sample_interval * exponent
        raise InputError(
            f"forecast.horizon: given {config.horizon:g} Lyapunov times after {config.warm_up} "
            f"samples of warm-up; the trajectories of {dataset.path} leave room for "
            f"{dataset.sample_interval * exponent:.3g} to {room:.3g}"
        )
    available = len(members) * per_member
    if config.initial_conditions > available:
        raise InputError(
            f"forecast.initial_conditions: given {config.initial_conditions}, but the "
            f"{len(members)} {config.split} trajectories of {dataset.path} hold {available} that "
            "do not overlap; ask for fewer, shorten forecast.horizon, or simulate more"
        )
    index = np.arange(config.initial_conditions)
    chosen = members[index % len(members)]
    return InitialConditions(chosen, index // len(members) * length, horizon, exponent)


@dataclass(frozen=True)
class Evaluation:
    """Forecasts from many initial conditions, against truth, persistence and climatology.

    error, persistence_error, climatology_error
        NRMSE ``(initial_condition, time)``.
    truth, forecast
        A few whole examples ``(example, time, component)`` in the system's units.
    seconds
        Wall time of the forecasts, the slowest rank's.
    attractor
        What was asked for beyond them.
    """

    config: ForecastConfig
    sample_interval: float
    lyapunov_exponent: float
    error: np.ndarray
    persistence_error: np.ndarray
    climatology_error: np.ndarray
    truth: np.ndarray
    forecast: np.ndarray
    seconds: float
    attractor: Attractor | None = None

    @property
    def time_lyapunov(self) -> np.ndarray:
        """Lyapunov times of the forecast samples, ``(time,)``; the first is one interval."""
        steps = np.arange(1, self.error.shape[1] + 1)
        return steps * self.sample_interval * self.lyapunov_exponent

    def valid_times(self, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return VPT and censoring of each initial condition for one of the errors."""
        return valid_prediction_time(
            error, self.sample_interval, self.lyapunov_exponent, self.config.threshold
        )

    def metrics(self) -> list[Metric]:
        """Return the scores: VPT with its spread, the baselines, and NRMSE at fixed times."""
        vpt, censored = self.valid_times(self.error)
        n, unit = len(vpt), "Lyapunov times"
        spread = float(vpt.std(ddof=1) / np.sqrt(n)) if n > 1 else None
        metrics = [
            Metric("vpt_mean", float(vpt.mean()), unit, "higher", n),
            Metric("vpt_median", float(np.median(vpt)), unit, "higher", n),
            Metric("vpt_standard_error", spread, unit, "none", n),
            Metric("vpt_censored_share", float(censored.mean()), "", "none", n),
            Metric(
                "vpt_persistence",
                float(self.valid_times(self.persistence_error)[0].mean()),
                unit,
                "none",
                n,
            ),
            Metric(
                "vpt_climatology",
                float(self.valid_times(self.climatology_error)[0].mean()),
                unit,
                "none",
                n,
            ),
            Metric("lyapunov_exponent", self.lyapunov_exponent, "1/model time", "none", 1),
            Metric("forecast_seconds", self.seconds, "s", "lower", 1),
        ]
        times = self.time_lyapunov
        for at in (0.25, 0.5, 1, 2):
            if at > times[-1]:
                continue
            sample = int(np.searchsorted(times, at))
            for name, error in (
                ("nrmse", self.error),
                ("nrmse_persistence", self.persistence_error),
                ("nrmse_climatology", self.climatology_error),
            ):
                value = float(error[:, sample].mean())
                metrics.append(Metric(f"{name}_{at:g}", value, "", "lower", n))
        return metrics + (self.attractor.metrics() if self.attractor else [])

    def write(self, path: Path) -> None:
        """Write ``forecast.h5``."""
        vpt, censored = self.valid_times(self.error)
        with replaced(path) as passing, h5py.File(passing, "w") as file:
            file["nrmse"] = self.error
            file["vpt"] = vpt
            file["censored"] = censored
            file["time_lyapunov"] = self.time_lyapunov
            file["persistence_nrmse"] = self.persistence_error.mean(axis=0)
            file["climatology_nrmse"] = self.climatology_error.mean(axis=0)
            file["truth"] = self.truth.astype(np.float32)
            file["forecast"] = self.forecast.astype(np.float32)
            file.attrs["lyapunov_exponent"] = self.lyapunov_exponent
            file.attrs["sample_interval"] = self.sample_interval
            file.attrs["threshold"] = self.config.threshold
            if self.attractor is not None:
                self.attractor.write(file)


def evaluate(
    forecaster: Forecaster,
    dataset: Dataset,
    config: ForecastConfig,
    ranks: Communicator,
    show: bool = True,
) -> Evaluation:
    """Forecast from initial conditions of a split, shared out over ranks; ``show`` progress.

    Raises
    ------
    InputError
        The model or the forecasts do not fit the dataset.
    """
    forecaster.check_fits(dataset.num_components)
    try:
        forecaster.embedding.check_forecast(config.warm_up, config.score)
    except ValueError as problem:
        raise InputError(str(problem)) from None
    start = initial_conditions(dataset, config)
    rows = ranks.share(len(start.members))
    chosen = slice(rows.start, rows.stop)
    length = config.warm_up + start.horizon
    begin = clock()
    windows = read_windows(dataset, start.members[chosen], start.samples[chosen], length)
    windows = windows.astype(np.float64)
    warm, truth = windows[:, : config.warm_up], windows[:, config.warm_up :]
    predicted = free_run(forecaster, warm, start.horizon, ranks, show=show)
    seconds = clock() - begin

    def error_of(states: np.ndarray) -> np.ndarray:
        if config.score == "state":
            return nrmse(states, truth, dataset.std)
        forecast, exact = map(forecaster.principal_components, (states, truth))
        return nrmse(forecast, exact, np.ones(1))

    local = (
        error_of(predicted),
        error_of(persistence(warm[:, -1], truth)),
        error_of(climatology(dataset.mean, truth)),
    )
    parts = ranks.gather((local, seconds, truth[:NUM_EXAMPLES], predicted[:NUM_EXAMPLES]))
    error, persisted, climate = (np.concatenate([p[0][k] for p in parts]) for k in range(3))
    return Evaluation(
        config=config,
        sample_interval=dataset.sample_interval,
        lyapunov_exponent=start.lyapunov_exponent,
        error=error,
        persistence_error=persisted,
        climatology_error=climate,
        truth=np.concatenate([part[2] for part in parts])[:NUM_EXAMPLES],
        forecast=np.concatenate([part[3] for part in parts])[:NUM_EXAMPLES],
        seconds=max(part[1] for part in parts),
        attractor=explore(
            forecaster,
            dataset,
            config.attractor,
            config.warm_up,
            start.lyapunov_exponent,
            ranks,
            lambda warm, steps: free_run(forecaster, warm, steps, ranks),
        ),
    )
