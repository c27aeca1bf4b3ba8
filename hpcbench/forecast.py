"""Forecast with a trained model: warm up on the truth, then run free, and score the error."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hpcbench.attractor import Attractor, AttractorConfig, explore
from hpcbench.checkpoint import require_checkpoint
from hpcbench.communicator import Communicator, communicator
from hpcbench.config import Config, content_hash, merge, parse_overrides, validate
from hpcbench.console import message, print_results, progress
from hpcbench.dataset import Dataset, open_dataset
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.embedding.observation import observe
from hpcbench.embedding.reduction import Reduction
from hpcbench.errors import InputError
from hpcbench.metrics import climatology, nrmse, persistence, valid_prediction_time
from hpcbench.models import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling, State
from hpcbench.record import SCHEMA, Metric, RunDirectory, read_json
from hpcbench.timing import clock
from hpcbench.windows import read_windows

TAKES_OVERRIDES = True

NUM_EXAMPLES = 3
"""Forecasts that are stored whole, for pictures."""


class ForecastConfig(Config):
    """How forecasts are made and scored.

    initial_conditions
        Independent initial conditions of the test split (0: no evaluation).
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
    warm_up: int = Field(100, ge=1)
    horizon: float = Field(10.0, gt=0)
    threshold: float = Field(0.5, gt=0)
    score: Literal["state", "components"] = "state"
    lyapunov_exponent: float | None = Field(None, gt=0)
    attractor: AttractorConfig = Field(default_factory=AttractorConfig)


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
        partial = path.with_name(f".{path.name}.partial")
        with h5py.File(partial, "w") as file:
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
        partial.replace(path)


def evaluate(
    forecaster: Forecaster, dataset: Dataset, config: ForecastConfig, ranks: Communicator
) -> Evaluation:
    """Forecast from initial conditions of the test split, shared out over ranks.

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
    predicted = free_run(forecaster, warm, start.horizon, ranks)
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


@torch.no_grad()
def free_run(
    forecaster: Forecaster, warm: np.ndarray, horizon: int, ranks: Communicator
) -> np.ndarray:
    """Return ``horizon`` forecast samples after the warm-up, ``(row, horizon, component)``.

    The state is accumulated in float64 whatever the parameters' dtype: increments of a finely
    sampled series lie near the rounding of float32. Units are the system's.
    """
    device = ranks.device
    normalised = forecaster.normalise(torch.from_numpy(warm).to(device))
    predicted = torch.empty((len(warm), horizon, warm.shape[2]), dtype=torch.float64)
    state: State | None = None
    present: Tensor = normalised
    with progress(horizon, "forecast", ranks.is_first) as advance:
        for sample in range(horizon):
            scaled, state = forecaster(present.to(forecaster.dtype), state)
            present = forecaster.next_state(present[:, -1:], scaled[:, -1:])
            predicted[:, sample] = forecaster.restore(present[:, 0]).cpu()
            advance()
    return predicted.numpy()


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
    """Choose starts in the test trajectories: spread over members first, then over time.

    Two forecasts in one trajectory do not overlap.

    Raises
    ------
    InputError
        The dataset has no Lyapunov exponent, or too few or too short test trajectories.
    """
    exponent = config.lyapunov_exponent or dataset.lyapunov_exponent
    if not exponent:
        raise InputError(
            f"{dataset.path}: states no largest Lyapunov exponent, and valid prediction times are "
            "counted in Lyapunov times; give forecast.lyapunov_exponent"
        )
    config.attractor.check_fits(dataset, config.warm_up, exponent)
    horizon = round(config.horizon / (exponent * dataset.sample_interval))
    members = dataset.members("test")
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
            f"{len(members)} test trajectories of {dataset.path} hold {available} that do not "
            "overlap; ask for fewer, shorten forecast.horizon, or simulate more"
        )
    index = np.arange(config.initial_conditions)
    chosen = members[index % len(members)]
    return InitialConditions(chosen, index // len(members) * length, horizon, exponent)


def run_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return what a run's record says of its dataset."""
    return {
        "path": str(dataset.path),
        "content": dataset.content_hash,
        "system": dataset.system,
        "parameters": dataset.parameters,
        "sample_interval": dataset.sample_interval,
        "lyapunov_exponent": dataset.lyapunov_exponent,
    }


def load_forecaster(run: Path) -> tuple[Forecaster, dict[str, Any]]:
    """Return the trained forecaster of a run folder and the run's definition."""
    definition = read_json(run / "run.json")
    if definition.get("schema") != SCHEMA:
        raise InputError(f"{run}/run.json: schema {definition.get('schema')}; valid: {SCHEMA}")
    config = definition["config"]
    checkpoint = require_checkpoint(run)
    saved = {name: tensor.numpy() for name, tensor in checkpoint.model.items()}
    reduction = None
    if "reduce_basis" in saved:
        reduction = Reduction(*(saved[f"reduce_{name}"] for name in ("basis", "inverse", "spread")))
    mean, std, increment = (saved[f"scale_{name}"] for name in ("mean", "std", "increment"))
    model = validate(ModelConfig, config["model"], f"{run}/run.json")
    embedding = validate(EmbeddingConfig, config.get("embedding", {}), f"{run}/run.json")
    forecaster = Forecaster(model, Scaling(mean, std, increment, reduction), embedding)
    forecaster.load_state_dict(checkpoint.model)
    forecaster.set_dtype(getattr(torch, config["train"]["dtype"]))
    return forecaster, definition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench forecast``."""
    parser.add_argument("run", type=Path, help="folder of a finished training run")
    parser.add_argument("--data", type=Path, help="dataset (default: the one trained on)")
    parser.add_argument("--out", type=Path, help="folder (default: RUN/forecasts/NAME-OF-DATA)")


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench forecast``."""
    run: Path = arguments.run
    ranks = communicator("mpi")
    with ranks.together():
        forecaster, definition = load_forecaster(run)
        forecaster.to(ranks.device)
        over = parse_overrides(arguments.overrides)
        asked = merge({"forecast": definition["config"]["forecast"]}, over)
        config = validate(_Settings, asked, f"{run}/run.json").forecast
        whole = open_dataset(arguments.data or Path(definition["dataset"]["path"]))
        dataset = observe(whole, forecaster.embedding)
        if config.initial_conditions == 0:
            raise InputError("forecast.initial_conditions: given 0; give at least 1")
    with dataset:
        source = run_dataset(dataset)
        evaluation = evaluate(forecaster, dataset, config, ranks)
    if not ranks.is_first:
        return 0
    what = {"config": {**definition["config"], "forecast": asked["forecast"]}, "dataset": source}
    out = arguments.out or run / "forecasts" / f"{dataset.path.stem}-{content_hash(what, 8)}"
    directory = RunDirectory(out, what)
    directory.open(resume=True)
    evaluation.write(out / "forecast.h5")
    result = directory.result("forecast", "done", evaluation.metrics(), ranks=ranks.size)
    message(f"forecasts: {out}")
    print_results(result["metrics"], arguments.json, {"run": str(out)})
    return 0


class _Settings(Config):
    """The part of a run's configuration that ``hpcbench forecast`` may change."""

    forecast: ForecastConfig
