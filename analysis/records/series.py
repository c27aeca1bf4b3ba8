"""The series one run left in HDF5: losses and times per step, forecasts per initial condition."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.intervals import finite

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Training:
    """What ``metrics.h5`` holds; arrays a run did not write are empty.

    Attributes
    ----------
    loss
        Global training loss, (step).
    step_seconds, compute_seconds, data_seconds
        Whole step, forward + backward, and wait for data, (step, rank), in seconds.
    validation_step, validation_loss
        Validation loss and the step it was taken at, (k).
    validation_vpt, validation_joules
        Mean valid prediction time and energy used so far, (k), NaN where not measured.
    num_warmup_steps
        Steps at the start of an attempt that no timing may use.
    sequences_per_step, samples_per_step
        Sequences, and samples in them, that all ranks together process in one step.
    allreduce
        ``bytes`` and ``seconds`` of allreduces timed in the same job.
    gradient_bytes, batch_bytes
        Size of the gradient and of a batch.
    read_rate, write_rate
        Bytes per second of reading batches, for the first and the second time, and of writing.
    """

    loss: Array
    step_seconds: Array
    compute_seconds: Array
    data_seconds: Array
    validation_step: Array
    validation_loss: Array
    validation_vpt: Array
    validation_joules: Array
    num_warmup_steps: int
    sequences_per_step: float
    samples_per_step: float
    allreduce: pd.DataFrame
    gradient_bytes: float
    batch_bytes: float
    read_rate: tuple[float, float]
    write_rate: float

    @property
    def slowest(self) -> Array:
        """Step time of the slowest rank, (step), without steps of an earlier attempt (NaN)."""
        if self.step_seconds.ndim != 2 or self.step_seconds.size == 0:
            return np.empty(0)
        slowest = self.step_seconds.max(axis=1)
        return slowest[np.isfinite(slowest)]

    @property
    def timed(self) -> Array:
        """Step time of the slowest rank after the warm-up, (step)."""
        return self.slowest[self.num_warmup_steps :]

    def after_warm_up(self, values: Array) -> Array:
        """Return the rows of a (step, rank) series that belong to :attr:`timed`."""
        if not values.size:
            return values
        kept = np.isfinite(self.step_seconds.max(axis=1))
        return values[kept][self.num_warmup_steps :]


@dataclass(frozen=True)
class Forecasts:
    """What ``forecast.h5`` holds; arrays a run did not write are empty.

    Attributes
    ----------
    time
        Lead time in Lyapunov times, (time).
    nrmse
        Normalised root-mean-square error, (initial_condition, time).
    vpt, censored
        Valid prediction time in Lyapunov times and whether the horizon cut it off,
        (initial_condition).
    truth, forecast
        A few examples, (example, time, component).
    persistence, climatology
        NRMSE of the two trivial forecasts, mean over initial conditions, (time).
    threshold
        NRMSE up to which a forecast counts as valid.
    exponents
        Lyapunov exponents of the model in closed loop, per unit of model time.
    """

    time: Array
    nrmse: Array
    vpt: Array
    censored: Array
    truth: Array
    forecast: Array
    persistence: Array
    climatology: Array
    threshold: float
    exponents: Array


def read_training(run: Path | str) -> tuple[Training | None, str]:
    """Return the series of a training run, or None and the reason."""
    data, attributes, problem = read_file(Path(run) / "metrics.h5")
    if problem:
        return None, problem
    # A time that is not positive was never measured.
    steps = per_rank(data, "step_seconds").astype(float)
    steps[~(steps > 0)] = np.nan
    steps[np.isinf(steps)] = np.nan
    try:
        return Training(
            loss=without_infinity(flat(data, "loss")),
            step_seconds=steps,
            compute_seconds=like(steps, per_rank(data, "compute_seconds")),
            data_seconds=like(steps, per_rank(data, "data_seconds")),
            validation_step=flat(data, "validation_step"),
            validation_loss=without_infinity(flat(data, "validation_loss")),
            validation_vpt=without_infinity(flat(data, "validation_vpt")),
            validation_joules=without_infinity(flat(data, "validation_joules")),
            num_warmup_steps=max(0, int(attributes.get("num_warmup_steps", 0))),
            sequences_per_step=float(attributes.get("sequences_per_step", np.nan)),
            samples_per_step=float(attributes.get("samples_per_step", np.nan)),
            allreduce=allreduce_times(data),
            gradient_bytes=float(attributes.get("gradient_bytes", np.nan)),
            batch_bytes=largest(flat(data, "read_bytes")),
            read_rate=read_rates(data),
            write_rate=rate(flat(data, "write_bytes"), flat(data, "write_seconds")),
        ), ""
    except (ValueError, TypeError) as error:
        return None, f"metrics.h5: foreign: {error}"


def allreduce_times(data: dict[str, Array]) -> pd.DataFrame:
    """Return /allreduce_bytes (size) and /allreduce_seconds (size, repeat) as a row per repeat."""
    sizes, seconds = flat(data, "allreduce_bytes"), per_rank(data, "allreduce_seconds")
    if seconds.shape[0] != len(sizes) or not seconds.size:
        return pd.DataFrame({"bytes": [], "seconds": []}, dtype=float)
    return pd.DataFrame(
        {"bytes": np.repeat(sizes, seconds.shape[1]), "seconds": np.ravel(seconds)}, dtype=float
    )


def largest(values: Array) -> float:
    """Return the largest value, NaN without any."""
    return float(values.max()) if len(values) else np.nan


def rate(amounts: Array, seconds: Array) -> float:
    """Return Σwork / Σtime, NaN where nothing was timed."""
    total = float(seconds.sum()) if len(amounts) == len(seconds) else 0.0
    return float(amounts.sum()) / total if total > 0 else np.nan


def read_rates(data: dict[str, Array]) -> tuple[float, float]:
    """Return bytes per second of the first and the second pass of /read_seconds (pass, batch)."""
    sizes, seconds = flat(data, "read_bytes"), per_rank(data, "read_seconds")
    if seconds.shape != (2, len(sizes)):
        return np.nan, np.nan
    return rate(sizes, seconds[0]), rate(sizes, seconds[1])


def read_forecasts(run: Path | str) -> tuple[Forecasts | None, str]:
    """Return the forecasts of a run, or None and the reason."""
    data, attributes, problem = read_file(Path(run) / "forecast.h5")
    if problem:
        return None, problem
    nrmse, time = data.get("nrmse"), flat(data, "time_lyapunov")
    if nrmse is None or nrmse.ndim != 2 or nrmse.shape[1] != len(time) or not nrmse.size:
        return None, "forecast.h5: nrmse and time_lyapunov are missing or do not fit together"
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        return None, "forecast.h5: time_lyapunov does not rise from sample to sample"
    vpt, censored = flat(data, "vpt").astype(float), flat(data, "censored").astype(bool)
    truth, forecast = (data.get(name, np.empty(0)) for name in ("truth", "forecast"))
    fits = truth.ndim == 3 and truth.shape == forecast.shape and truth.shape[1] == len(time)
    if not fits or not truth.size or not np.isfinite(truth).all():
        truth = forecast = np.empty((0, 0, 0))
    try:
        return Forecasts(
            time=time,
            nrmse=nrmse,
            vpt=vpt if len(vpt) == len(nrmse) and np.isfinite(vpt).all() else np.empty(0),
            censored=censored if len(censored) == len(nrmse) else np.empty(0, dtype=bool),
            truth=truth,
            forecast=without_infinity(forecast),
            persistence=over_time(data, "persistence_nrmse", time),
            climatology=over_time(data, "climatology_nrmse", time),
            threshold=float(attributes.get("threshold", 0.5)),
            exponents=finite(flat(data, "model_lyapunov_exponents")),
        ), ""
    except (ValueError, TypeError) as error:
        return None, f"forecast.h5: foreign: {error}"


def read_file(path: Path) -> tuple[dict[str, Array], dict[str, Any], str]:
    """Return the datasets at the root of a file, its attributes, and what is wrong with it."""
    if not path.exists():
        return {}, {}, f"{path.name}: missing"
    try:
        with h5py.File(path, "r") as file:
            data = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
            arrays = {name: np.asarray(item) for name, item in data.items()}
            numbers = {name: item for name, item in arrays.items() if item.dtype.kind in "fiub"}
            return numbers, dict(file.attrs), ""
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        return {}, {}, f"{path.name}: corrupt or partly written: {error}"


def without_infinity(values: Array) -> Array:
    """Return values with NaN for infinity, which no axis can show."""
    values = values.astype(float)
    return np.where(np.isinf(values), np.nan, values)


def over_time(data: dict[str, Array], name: str, time: Array) -> Array:
    """Return a dataset with a value per time, empty when it has another length."""
    values = without_infinity(flat(data, name))
    return values if len(values) == len(time) else np.empty(0)


def flat(data: dict[str, Array], name: str) -> Array:
    """Return a one-dimensional dataset, empty when there is none."""
    return np.ravel(data.get(name, np.empty(0)))


def per_rank(data: dict[str, Array], name: str) -> Array:
    """Return a (step, rank) dataset; one without a rank axis is that of a single rank."""
    values = data.get(name, np.empty((0, 0)))
    if values.ndim == 1:
        values = values[:, None]
    return values if values.ndim == 2 and values.size else np.empty((0, 0))


def like(steps: Array, values: Array) -> Array:
    """Return times that belong to the steps, none when they do not fit to them."""
    return values if values.shape == steps.shape else np.empty((0, 0))
