"""What a training run leaves in its folder: status, provenance, history, metrics and result."""

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hpcbench.console import message
from hpcbench.data.dataset import Dataset
from hpcbench.errors import GateFailed, PartlyDone
from hpcbench.forecasting.evaluation import Evaluation
from hpcbench.forecasting.forecast import run_dataset
from hpcbench.models.forecaster import Forecaster
from hpcbench.parallel.communicator import Communicator
from hpcbench.run import command
from hpcbench.run.files import read_json, write_json
from hpcbench.run.provenance import code_version, rank_provenance
from hpcbench.run.record import Metric, RunDirectory, State
from hpcbench.run.timing import EnergyMeter, peak_memory_bytes
from hpcbench.training.baselines import Baselines
from hpcbench.training.history import History
from hpcbench.training.methods.method import Method
from hpcbench.training.run_config import RunConfig

NUM_FINAL_STEPS = 20
"""Last steps whose mean is the final loss."""

NUM_TIMING_WARM_UP = 10
"""First steps of an attempt that no timing counts: allocation, caches, negotiation."""


class Recording:
    """The record of one run: measured on all ranks, written by the first.

    Methods are called by all ranks, unless they say otherwise.

    Parameters
    ----------
    config, dataset
        What the run is defined by.
    out
        The run's folder.
    ranks
        The run's communicator.
    num_steps
        Steps of the whole run.
    forecaster, method
        What is trained; ``method`` holds the parameters whose gradients travel.

    Attributes
    ----------
    history
        What was measured at every step.
    baselines, scores
        What was measured before the first step.
    energy
        The energy of this host since the attempt began.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        out: Path,
        ranks: Communicator,
        num_steps: int,
        forecaster: Forecaster,
        method: Method,
    ) -> None:
        self.config, self.ranks, self.num_steps = config, ranks, num_steps
        self.forecaster, self.method = forecaster, method
        self.sites_per_sequence = dataset.num_components
        self.history = History(num_steps, ranks)
        self.baselines = Baselines()
        self.scores: list[Metric] = []
        self.energy = EnergyMeter()
        run = {"config": config.model_dump(mode="json"), "dataset": run_dataset(dataset)}
        self.directory = RunDirectory(out, run)
        self.path = self.directory.path

    def open(self, resume: bool) -> bool:
        """Claim the folder; return whether it holds the finished run already."""
        self.ranks.first(lambda: self.directory.open(resume))
        return self.ranks.first(lambda: self.directory.finished)

    def finished_result(self) -> dict[str, Any] | None:
        """Return the result of the finished run on the first rank, else None."""
        if not self.ranks.is_first:
            return None
        message(f"{self.path}: already done; nothing to do")
        return dict(read_json(self.path / "result.json"))

    def write_provenance(self, threads: int) -> None:
        """Write where the run runs and with what."""
        everyone = self.ranks.gather(rank_provenance(self.ranks.rank, threads))
        if self.ranks.is_first:
            value = {"code": code_version(), "backend": self.ranks.details(), "ranks": everyone}
            value["times"] = {"started": psutil.Process().create_time(), "ready": time.time()}
            write_json(self.path / "provenance.json", value)

    def status(self, state: State, step: int, reason: str = "") -> None:
        """Write the heartbeat."""
        if self.ranks.is_first:
            self.directory.status(state, step, self.num_steps, reason)

    def failed(self, reason: str) -> None:
        """Write that the run cannot go on; needs no other rank."""
        self.status("failed", int(np.isfinite(self.history.loss).sum()), reason)

    def joules(self) -> float | None:
        """Return the energy of all hosts since the attempt began, None without counters."""
        mine = self.energy.joules() if self.ranks.local_rank == 0 else 0.0
        measured = self.ranks.gather(mine)
        known = [energy for energy in measured if energy is not None]
        return sum(known) if len(known) == len(measured) and sum(known) > 0 else None

    def gradient_bytes(self) -> int:
        """Return the size of the gradients that ranks exchange at every step."""
        return sum(p.numel() * p.element_size() for p in self.method.parameters())

    def refuse_divergence(self, begin: int, end: int) -> None:
        """Raise :class:`GateFailed` where the loss of steps ``begin … end - 1`` is no number."""
        bad = np.flatnonzero(~np.isfinite(self.history.loss[begin:end]))
        if len(bad) == 0:
            return
        step = begin + int(bad[0])
        reason = f"the loss is {self.history.loss[step]} at step {step}"

        def write() -> None:
            metrics = [Metric("diverged_step", float(step), "", "none", 1)]
            self.status("diverged", step, reason)
            self._write_history()
            self.directory.result("train", "diverged", metrics, reason=reason, **self._place())

        self.ranks.first(write)
        raise GateFailed(
            f"{self.path}: {reason}; the last good checkpoint is kept in "
            f"{self.path / 'checkpoint'}. Try a smaller train.learning_rate or train.clip"
        )

    def interrupted(self, number: int, step: int) -> None:
        """Write that a signal ended the run after ``step`` steps; raise :class:`PartlyDone`."""
        name = signal.Signals(number).name

        def write() -> None:
            self.status("interrupted", step, name)
            self._write_history()

        self.ranks.first(write)
        raise PartlyDone(
            f"{self.path}: {name} after {step} of {self.num_steps} steps; the checkpoint "
            "is kept: go on with --resume"
        )

    def finish(self, evaluation: Evaluation | None, joules: float | None) -> dict[str, Any] | None:
        """Write the metrics, the forecasts and, last, the result; return it on the first rank.

        All ranks wait until it is written: one that left earlier could be killed by a late signal,
        and its launcher would take the others down.
        """
        peak = max(self.ranks.gather(peak_memory_bytes()))
        averaging = self.ranks.metrics()

        def write() -> dict[str, Any]:
            metrics = [
                *self._training_metrics(),
                Metric("peak_memory_bytes", peak, "bytes", "lower"),
                *averaging,
            ]
            if joules is not None:
                metrics.append(Metric("energy_joules", joules, "J", "lower"))
            metrics += [*self.baselines.metrics(), *self.scores]
            self._write_history()
            if evaluation is not None:
                metrics += evaluation.metrics()
                evaluation.write(self.path / "forecast.h5")
            self.status("done", self.num_steps)
            return self.directory.result("train", "done", metrics, **self._place())

        result = self.ranks.first(write)
        return result if self.ranks.is_first else None

    def _place(self) -> dict[str, Any]:
        return {"ranks": self.ranks.size, "backend": self.ranks.name, "command": command.current()}

    def _write_history(self) -> None:
        settings = self.config.train
        self.history.write(
            self.path / "metrics.h5",
            self.baselines,
            num_warmup_steps=NUM_TIMING_WARM_UP,
            sequences_per_step=settings.global_batch,
            samples_per_step=settings.global_batch * settings.window,
            sites_per_sequence=self.sites_per_sequence,
            gradient_bytes=self.gradient_bytes(),
        )

    def _training_metrics(self) -> list[Metric]:
        history, settings = self.history, self.config.train
        tail = history.loss[-min(NUM_FINAL_STEPS, self.num_steps) :]
        parameters = sum(p.numel() for p in self.forecaster.parameters())
        metrics = [
            Metric("final_loss", float(tail.mean()), "scaled target squared", "lower", len(tail)),
            Metric("parameters", parameters, "", "none"),
        ]
        if history.validation_loss:
            loss = history.validation_loss[-1]
            metrics.append(Metric("validation_loss", loss, "scaled target squared", "lower"))
        seconds = history.slowest("step_seconds")
        attempt = history.timed_steps(0)
        if len(attempt):
            total = float(seconds[attempt].sum())
            metrics.append(Metric("training_seconds", total, "s", "lower", len(attempt)))
        timed = history.timed_steps(NUM_TIMING_WARM_UP)
        if len(timed):
            median, mean = float(np.median(seconds[timed])), float(seconds[timed].mean())
            sequences = settings.global_batch / mean
            samples = sequences * settings.window
            metrics += [
                Metric("step_seconds", median, "s", "lower", len(timed)),
                Metric("sequences_per_second", sequences, "1/s", "higher", len(timed)),
                Metric("samples_per_second", samples, "1/s", "higher", len(timed)),
            ]
        return metrics
