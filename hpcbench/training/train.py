"""Train a forecaster data-parallel and evaluate it: ``hpcbench train SPEC.toml``.

The loop is read top to bottom. Its result is defined by the configuration and the global batch;
ranks only share the rows out.
"""

import argparse
import math
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.config.tree import read_config
from hpcbench.console import message, print_results, progress
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.windows import RowRandom, WindowPlan, read_windows
from hpcbench.embedding.input_scores import input_scores
from hpcbench.embedding.observation import observe
from hpcbench.errors import EnvironmentLacks, GateFailed, InputError, PartlyDone
from hpcbench.forecasting.evaluation import (
    Evaluation,
    evaluate,
    initial_conditions,
    validation_forecasts,
)
from hpcbench.forecasting.forecast import run_dataset
from hpcbench.models.forecaster import Forecaster, State, training_scaling
from hpcbench.parallel.communicator import Communicator, communicator
from hpcbench.parallel.watchdog import Watchdog
from hpcbench.run.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from hpcbench.run.provenance import code_version, rank_provenance
from hpcbench.run.record import Metric, RunDirectory, read_json, write_json
from hpcbench.run.timing import EnergyMeter, clock, peak_memory_bytes
from hpcbench.training.baselines import Baselines, measure_baselines
from hpcbench.training.history import History
from hpcbench.training.methods.method import Method
from hpcbench.training.methods.registry import method_class
from hpcbench.training.optimizers.registry import build_optimizer
from hpcbench.training.optimizers.schedule import learning_rate, set_learning_rate
from hpcbench.training.run_config import RunConfig

TAKES_OVERRIDES = True

FLUSH_STEPS = 20
"""Steps between two agreements of the ranks on the loss and on stopping."""

HEARTBEAT_SECONDS = 0.2
"""Least time between two heartbeats, which wait for the disk."""

NUM_VALIDATION_ROWS = 32
NUM_TIMING_WARM_UP = 10
"""First steps of an attempt that no timing counts: allocation, caches, negotiation."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench train``."""
    parser.add_argument("spec", type=Path, help="TOML file with [model], [train] and [forecast]")
    parser.add_argument("--data", type=Path, help="dataset (default: dataset.path of the spec)")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/NAME-OF-SPEC)")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument("--seed", help="seed of the initial weights and of the order of windows")


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench train``."""
    overrides = list(arguments.overrides)
    if arguments.data:
        overrides += ["--dataset.path", f"'{arguments.data}'"]
    if arguments.seed is not None:
        overrides += ["--seed", arguments.seed]
    config = read_config(RunConfig, arguments.spec, overrides)
    if config.dataset.path is None:
        raise InputError(
            f"{arguments.spec}: dataset.path: missing; give it, or --data FILE.h5 "
            "(made by `hpcbench simulate`)"
        )
    out = arguments.out or Path("runs") / arguments.spec.stem
    result = train(config, out, resume=arguments.resume)
    if result is not None:
        print_results(result["metrics"], arguments.json, {"run": str(out)})
    return 0


def train(
    config: RunConfig, out: Path, resume: bool = False, ranks: Communicator | None = None
) -> dict[str, Any] | None:
    """Train, evaluate and record one run; return its result on rank 0, else None.

    ``ranks`` is a communicator that is running already; by default the configured back-end is
    started and ended.

    Raises
    ------
    InputError
        The configuration does not fit the dataset, the ranks, or the folder.
    PartlyDone
        A signal asked to stop; a checkpoint was written.
    GateFailed
        The loss became infinite or no number.
    """
    if ranks is None:
        with closing(communicator(config.train.backend)) as started:
            return train(config, out, resume, started)
    path = Path(config.dataset.path or "")
    dataset = ranks.together(lambda: observe(open_dataset(path, mapped=True), config.embedding))
    with dataset:
        return _Training(config, out, ranks, dataset).run(resume)


class _Training:
    """The parts of one training run."""

    def __init__(self, config: RunConfig, out: Path, ranks: Communicator, dataset: Dataset) -> None:
        self.config, self.ranks, self.dataset = config, ranks, dataset
        settings = config.train
        if settings.global_batch % ranks.size:
            lower = settings.global_batch // ranks.size * ranks.size
            raise InputError(
                f"train.global_batch: given {settings.global_batch}, which {ranks.size} ranks "
                f"cannot share evenly; nearest: {lower or ranks.size} or {lower + ranks.size}"
            )
        if config.forecast.initial_conditions:
            initial_conditions(dataset, config.forecast)  # refuse now what would fail at the end
        self.validation = validation_forecasts(config.forecast, settings.validate_forecasts)
        if settings.validate_forecasts:
            initial_conditions(dataset, self.validation)
        self.threads = _set_threads(ranks)
        self.plan = WindowPlan(
            members=dataset.members("train"),
            num_samples=dataset.num_samples,
            window=settings.window,
            carry=settings.carry or settings.window,
            global_batch=settings.global_batch,
            seed=config.seed,
            reach=config.embedding.reach,
        )
        if settings.steps is not None:
            self.schedule_steps = settings.steps
        else:
            self.schedule_steps = max(1, round((settings.epochs or 0) * self.plan.steps_per_epoch))
        self.num_steps = min(self.schedule_steps, settings.stop_after or self.schedule_steps)

        torch.manual_seed(config.seed)
        scaling = training_scaling(dataset, config.embedding)
        self.forecaster = Forecaster(config.model, scaling, config.embedding)
        self.forecaster.check_fits(dataset.num_components)
        self.forecaster.fit_embedding(dataset)
        self.forecaster.set_dtype(getattr(torch, settings.dtype))
        self.forecaster.to(ranks.device)
        self.method: Method = method_class(settings.method)(
            self.forecaster, settings.method_options()
        )
        self.method.prepare(ranks, self.schedule_steps)
        self.attached: nn.Module = self.method
        if self.method.OWNS_UPDATE:
            self.optimizer: Optimizer = torch.optim.SGD(
                self.forecaster.head.parameters()
            )  # stands idle
        else:
            optimizer = build_optimizer(
                settings.optimizer, settings.optimizer_options, self.method.parameters()
            )
            self.attached, self.optimizer = ranks.attach(
                self.method, optimizer, settings.reduction, settings.compression
            )

        self.history = History(self.num_steps, ranks)
        self.baselines = Baselines()
        self.scores: list[Metric] = []
        self.energy = EnergyMeter()
        self.carried: State | None = None
        run = {"config": config.model_dump(mode="json"), "dataset": run_dataset(dataset)}
        self.directory = RunDirectory(out, run)
        self.stop_signal = 0

    def run(self, resume: bool) -> dict[str, Any] | None:
        ranks = self.ranks
        ranks.first(lambda: self.directory.open(resume))
        if ranks.first(lambda: self.directory.finished):
            if not ranks.is_first:
                return None
            message(f"{self.directory.path}: already done; nothing to do")
            return dict(read_json(self.directory.path / "result.json"))
        try:
            return self._run(resume)
        except (InputError, EnvironmentLacks) as error:
            self._status("failed", int(np.isfinite(self.history.loss).sum()), str(error))
            raise

    def _run(self, resume: bool) -> dict[str, Any] | None:
        ranks, settings = self.ranks, self.config.train
        self._write_provenance()
        first = self._restore() if resume else 0
        checkpointed = unshared = first
        if self.config.embedding.scores:
            self.scores = ranks.first(lambda: input_scores(self.dataset, settings.window))
        self.baselines = measure_baselines(
            ranks, self.dataset, self.plan, self._gradient_bytes(), self.directory.path,
            settings.baseline_seconds,
        )  # fmt: skip
        self.energy = EnergyMeter()
        self._listen()
        watchdog = Watchdog.from_environment(self.directory.path, ranks.rank)
        self._status("running", first)
        heartbeat = clock()

        with progress(self.num_steps, "training", ranks.is_first) as advance:
            advance(first)
            for step in range(first, self.num_steps):
                self._step(step)
                watchdog.step()
                done = step + 1
                due = settings.checkpoint_every and done % settings.checkpoint_every == 0
                validate = settings.validate_every and done % settings.validate_every == 0
                last = done == self.num_steps

                # every so often: agree on the loss and on stopping, write the heartbeat
                if due or last or validate or done - unshared >= FLUSH_STEPS:
                    self.history.share(unshared, done)
                    advance(done - unshared, f"loss {self.history.loss[step]:.3e}")
                    self._refuse_divergence(unshared, done)
                    unshared = done
                    if clock() - heartbeat >= HEARTBEAT_SECONDS:
                        self._status("running", done)
                        heartbeat = clock()
                    stop = ranks.largest(self.stop_signal)
                    # validate before saving, so that a resumed run has the same history
                    if validate or last:
                        self.method.settle()
                        self._validate(done)
                    if due or last or stop:
                        self._checkpoint(done)
                        checkpointed = done
                    if stop and not last:
                        self._interrupted(stop, checkpointed)

        watchdog.stop()
        joules = self._joules()
        evaluation = None
        if self.config.forecast.initial_conditions:
            evaluation = evaluate(self.forecaster, self.dataset, self.config.forecast, ranks)
        return self._finish(evaluation, joules)

    def _step(self, step: int) -> None:
        """Take one training step: read, forward, backward, average, update."""
        settings, ranks = self.config.train, self.ranks
        begin = clock()
        rows = ranks.share(settings.global_batch)
        members, starts = self.plan.rows(step)
        states = self._read(members, starts, rows, settings.window + 1)
        if self.plan.starts_segment(step):
            self.carried = self._first_state(members, starts, rows)
        random = RowRandom(self.config.seed, step, rows)
        if self.method.OWNS_UPDATE:
            ready = clock()
            loss, self.carried = self.method.update(states, self.carried, random)
            self.history.loss[step] = loss.item()
            computed = clock()
        else:
            set_learning_rate(self.optimizer, self._learning_rate(step))
            self.optimizer.zero_grad()
            ready = clock()
            loss, self.carried = self.attached(states, self.carried, random)
            loss.backward()
            self.history.loss[step] = loss.item()
            computed = clock()
            ranks.finish(self.attached, self.optimizer)
            if settings.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.method.parameters(), settings.clip)
            ranks.update(self.optimizer)
            self.history.learning_rate[step] = self._learning_rate(step)
        self.history.times[:, step, ranks.rank] = (clock() - begin, computed - ready, ready - begin)

    def _learning_rate(self, step: int) -> float:
        settings = self.config.train
        peak, warm_up = settings.schedule()
        return learning_rate(step, self.schedule_steps, peak, settings.final_learning_rate, warm_up)

    def _first_state(self, members: np.ndarray, starts: np.ndarray, rows: range) -> State | None:
        """Return the state in which segments start: what delays reach back to, nothing else."""
        reach = self.plan.reach
        if reach == 0:
            return None
        return self.forecaster.start(self._read(members, starts - reach, rows, reach))

    def _read(self, members: np.ndarray, starts: np.ndarray, rows: range, length: int) -> Tensor:
        """Return normalised states of some rows, ``(row, length, component)``, float64."""
        chosen = slice(rows.start, rows.stop)
        windows = read_windows(self.dataset, members[chosen], starts[chosen], length)
        return self.forecaster.normalise(torch.from_numpy(windows).to(self.ranks.device))

    def _validate(self, done: int) -> None:
        """Record the one-step loss on fixed segments of the validation trajectories."""
        members = self.dataset.members("validation")
        if len(members) == 0:
            return
        per_member = self.plan.segments_per_trajectory
        count = min(NUM_VALIDATION_ROWS, len(members) * per_member)
        # spread over members first, then over time
        index = np.arange(count)
        chosen, segment = members[index % len(members)], index // len(members)
        rows = self.ranks.share(count)
        losses = np.zeros(count)
        if rows:
            length = self.plan.reach + self.plan.carry + 1
            states = self._read(chosen, segment * self.plan.carry, rows, length)
            losses[rows.start : rows.stop] = self.forecaster.one_step_loss(states).numpy()
        loss, vpt = float(self.ranks.sum(losses).mean()), math.nan
        if self.config.train.validate_forecasts:
            found = evaluate(self.forecaster, self.dataset, self.validation, self.ranks, show=False)
            vpt = float(found.valid_times(found.error)[0].mean())
        self.history.validated(done, loss, vpt, self._joules())

    def _joules(self) -> float | None:
        """Return the energy of all hosts since the attempt began, None without counters."""
        mine = self.energy.joules() if self.ranks.local_rank == 0 else 0.0
        measured = self.ranks.gather(mine)
        known = [energy for energy in measured if energy is not None]
        return sum(known) if len(known) == len(measured) and sum(known) > 0 else None

    def _gradient_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.method.parameters())

    def _refuse_divergence(self, begin: int, end: int) -> None:
        bad = np.flatnonzero(~np.isfinite(self.history.loss[begin:end]))
        if len(bad) == 0:
            return
        step = begin + int(bad[0])
        kept = self.directory.path / "checkpoint"
        reason = f"the loss is {self.history.loss[step]} at step {step}"
        self._status("diverged", step, reason)
        if self.ranks.is_first:
            metrics = [Metric("diverged_step", float(step), "", "none", 1)]
            self._write_history()
            self.directory.result("train", "diverged", metrics, reason=reason, **self._place())
        raise GateFailed(
            f"{self.directory.path}: {reason}; the last good checkpoint is kept in {kept}. "
            "Try a smaller train.learning_rate or train.clip"
        )

    def _checkpoint(self, done: int) -> None:
        """Write a checkpoint with the carried state of all rows."""
        carried: dict[str, Tensor] = {}
        if self.carried is not None and not self.plan.starts_segment(done):
            parts = self.ranks.gather([part.detach().cpu() for part in self.carried])
            columns = zip(*parts, strict=True)
            carried = {str(i): torch.cat(column, dim=1) for i, column in enumerate(columns)}
        self.ranks.first(lambda: self._write_checkpoint(done, carried))

    def _write_checkpoint(self, done: int, carried: dict[str, Tensor]) -> None:
        checkpoint = Checkpoint(
            step=done,
            model=self.forecaster.state_dict(),
            optimizer=optimizer_tensors(self.optimizer),
            carried=carried,
            history=self.history.tensors(done),
            method=self.method.own_state(),
        )
        try:
            write_checkpoint(self.directory.path / "checkpoint", checkpoint)
        except OSError as error:
            raise PartlyDone(
                f"{self.directory.path}/checkpoint: cannot be written at step {done}: "
                f"{error.strerror}; earlier checkpoints are kept. Make room, then go on with "
                "--resume"
            ) from None

    def _restore(self) -> int:
        """Go back to the newest whole checkpoint; return the steps it holds."""
        checkpoint = self.ranks.first(lambda: read_checkpoint(self.directory.path / "checkpoint"))
        if checkpoint is None:
            return 0
        self.forecaster.load_state_dict(checkpoint.model)
        restore_optimizer(self.optimizer, checkpoint.optimizer)
        self.method.restore(checkpoint.method)
        self.history.restore(checkpoint.history)
        if checkpoint.carried:
            whole = [checkpoint.carried[str(i)] for i in range(len(checkpoint.carried))]
            shares = [self.ranks.share(part.shape[1]) for part in whole]
            self.carried = tuple(
                part[:, share.start : share.stop].to(self.ranks.device)
                for part, share in zip(whole, shares, strict=True)
            )
        return checkpoint.step

    def _listen(self) -> None:
        """Let Ctrl-C and a scheduler's signal end the run at the next agreement of the ranks."""

        def remember(number: int, frame: FrameType | None) -> None:
            # A scheduler may send the same request twice; an impatient user presses Ctrl-C twice.
            if self.stop_signal and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stop_signal = number

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, remember)

    def _interrupted(self, number: int, step: int) -> None:
        name = signal.Signals(number).name
        self._status("interrupted", step, name)
        if self.ranks.is_first:
            self._write_history()
        raise PartlyDone(
            f"{self.directory.path}: {name} after {step} of {self.num_steps} steps; the checkpoint "
            "is kept: go on with --resume"
        )

    def _status(self, state: Any, step: int, reason: str = "") -> None:
        if self.ranks.is_first:
            self.directory.status(state, step, self.num_steps, reason)

    def _place(self) -> dict[str, Any]:
        return {"ranks": self.ranks.size, "backend": self.ranks.name, "command": sys.argv}

    def _write_provenance(self) -> None:
        everyone = self.ranks.gather(rank_provenance(self.ranks.rank, self.threads))
        if self.ranks.is_first:
            value = {"code": code_version(), "backend": self.ranks.details(), "ranks": everyone}
            value["times"] = {"started": psutil.Process().create_time(), "ready": time.time()}
            write_json(self.directory.path / "provenance.json", value)

    def _write_history(self) -> None:
        settings = self.config.train
        self.history.write(
            self.directory.path / "metrics.h5",
            self.baselines,
            num_warmup_steps=NUM_TIMING_WARM_UP,
            sequences_per_step=settings.global_batch,
            samples_per_step=settings.global_batch * settings.window,
            sites_per_sequence=self.dataset.num_components,
            gradient_bytes=self._gradient_bytes(),
        )

    def _finish(self, evaluation: Evaluation | None, joules: float | None) -> dict[str, Any] | None:
        """Write the metrics, the forecasts and, last, the result."""
        peak = max(self.ranks.gather(peak_memory_bytes()))
        averaging = self.ranks.metrics()
        if not self.ranks.is_first:
            return None
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
            evaluation.write(self.directory.path / "forecast.h5")
        self._status("done", self.num_steps)
        return self.directory.result("train", "done", metrics, **self._place())

    def _training_metrics(self) -> list[Metric]:
        history, settings = self.history, self.config.train
        tail = history.loss[-min(FLUSH_STEPS, self.num_steps) :]
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


def _set_threads(ranks: Communicator) -> int:
    """Share the cores that this host may use among its ranks, unless OMP_NUM_THREADS says so."""
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(psutil.Process().cpu_affinity() or []) or os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // ranks.local_size))
    return torch.get_num_threads()
