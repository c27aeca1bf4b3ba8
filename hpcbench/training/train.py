"""Train a forecaster data-parallel and evaluate it.

The loop is read top to bottom. Its result is defined by the configuration and the global batch;
ranks only share the rows out.
"""

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hpcbench.console import progress
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.windows import RowRandom, WindowPlan, read_windows
from hpcbench.embedding.input_scores import input_scores
from hpcbench.embedding.observation import observe
from hpcbench.errors import EnvironmentLacks, InputError
from hpcbench.forecasting.evaluation import evaluate, initial_conditions, validation_forecasts
from hpcbench.models.forecaster import Forecaster, State, training_scaling
from hpcbench.parallel.communicator import Communicator, communicator
from hpcbench.parallel.watchdog import Watchdog
from hpcbench.run.timing import EnergyMeter, clock
from hpcbench.training.baselines import measure_baselines
from hpcbench.training.methods.method import Method
from hpcbench.training.methods.registry import method_class
from hpcbench.training.optimizers.registry import build_optimizer
from hpcbench.training.optimizers.schedule import learning_rate, set_learning_rate
from hpcbench.training.process import callers_state, share_threads
from hpcbench.training.recording import Recording
from hpcbench.training.resuming import Checkpoints
from hpcbench.training.run_config import RunConfig
from hpcbench.training.stopping import StopRequest, signals_noted

FLUSH_STEPS = 20
"""Steps between two agreements of the ranks on the loss and on stopping."""

HEARTBEAT_SECONDS = 0.2
"""Least time between two heartbeats, which wait for the disk."""

NUM_VALIDATION_ROWS = 32


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
    with dataset, callers_state(ranks.device):
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
        self.threads = share_threads(ranks.local_size)
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

        self.record = Recording(
            config, dataset, out, ranks, self.num_steps, self.forecaster, self.method
        )
        self.checkpoints = Checkpoints(
            self.record.path / "checkpoint", ranks, self.forecaster, self.method, self.optimizer,
            self.record.history,
        )  # fmt: skip
        self.carried: State | None = None

    def run(self, resume: bool) -> dict[str, Any] | None:
        if self.record.open(resume):
            return self.record.finished_result()
        try:
            return self._run(resume)
        except (InputError, EnvironmentLacks) as error:
            self.record.failed(str(error))
            raise

    def _run(self, resume: bool) -> dict[str, Any] | None:
        ranks, settings, record = self.ranks, self.config.train, self.record
        record.write_provenance(self.threads)
        first = 0
        if resume:
            first, self.carried = self.checkpoints.restore()
        if self.config.embedding.scores:
            record.scores = ranks.first(lambda: input_scores(self.dataset, settings.window))
        record.baselines = measure_baselines(
            ranks, self.dataset, self.plan, record.gradient_bytes(), record.path,
            settings.baseline_seconds,
        )  # fmt: skip
        record.energy = EnergyMeter()
        # until the result is written: a late signal must not kill a rank that writes it
        with signals_noted() as stop:
            self._train(first, stop)
            joules = record.joules()
            evaluation = None
            if self.config.forecast.initial_conditions:
                evaluation = evaluate(self.forecaster, self.dataset, self.config.forecast, ranks)
            return record.finish(evaluation, joules)

    def _train(self, first: int, stop: StopRequest) -> None:
        """Take all steps from ``first`` on."""
        ranks, settings, record = self.ranks, self.config.train, self.record
        checkpointed = unshared = first
        watchdog = Watchdog.from_environment(record.path, ranks.rank)
        record.status("running", first)
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
                    record.history.share(unshared, done)
                    advance(done - unshared, f"loss {record.history.loss[step]:.3e}")
                    record.refuse_divergence(unshared, done)
                    unshared = done
                    if clock() - heartbeat >= HEARTBEAT_SECONDS:
                        record.status("running", done)
                        heartbeat = clock()
                    number = ranks.largest(stop.number)
                    # validate before saving, so that a resumed run has the same history
                    if validate or last:
                        self.method.settle()
                        self._validate(done)
                    if due or last or number:
                        between = not self.plan.starts_segment(done)
                        self.checkpoints.write(done, self.carried if between else None)
                        checkpointed = done
                    if number and not last:
                        record.interrupted(number, checkpointed)
        watchdog.stop()

    def _step(self, step: int) -> None:
        """Take one training step: read, forward, backward, average, update."""
        settings, ranks, history = self.config.train, self.ranks, self.record.history
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
            history.loss[step] = loss.item()
            computed = clock()
        else:
            set_learning_rate(self.optimizer, self._learning_rate(step))
            self.optimizer.zero_grad()
            ready = clock()
            loss, self.carried = self.attached(states, self.carried, random)
            loss.backward()
            history.loss[step] = loss.item()
            computed = clock()
            ranks.finish(self.attached, self.optimizer)
            if settings.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.method.parameters(), settings.clip)
            ranks.update(self.optimizer)
            history.learning_rate[step] = self._learning_rate(step)
        history.times[:, step, ranks.rank] = (
            clock() - begin,
            computed - ready,
            ready - begin,
        )

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
        self.record.history.validated(done, loss, vpt, self.record.joules())
