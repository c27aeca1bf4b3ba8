"""Synthetic run directories with planted numbers, in the format that training writes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcbench.config.tree import content_hash
from hpcbench.run.files import write_json
from hpcbench.run.record import Metric, RunDirectory

DATASET = {
    "path": "data/lorenz96.h5",
    "content": "0123abcd",
    "system": "lorenz96",
    "parameters": {"num_sites": 40, "forcing": 8.0},
    "sample_interval": 0.01,
    "lyapunov_exponent": 1.68,
}


def make_config(**changes: Any) -> dict[str, Any]:
    """Return a resolved configuration; ``train__window=32`` sets ``train.window``."""
    config: dict[str, Any] = {
        "seed": 1,
        "dataset": {"path": "data/lorenz96.h5"},
        "model": {"cell": "lstm", "hidden": 32, "layers": 1, "coupling": "local", "halo": 4,
                  "target": "increment"},
        "train": {"method": "tbptt", "window": 64, "global_batch": 512, "optimizer": "adam",
                  "steps": 200, "backend": "horovod"},
        "forecast": {"initial_conditions": 64, "threshold": 0.5},
    }  # fmt: skip
    for name, value in changes.items():
        section, _, field = name.rpartition("__")
        (config[section] if section else config)[field] = value
    return config


class RunWriter:
    """Writes one run directory after another below a folder."""

    config = staticmethod(make_config)
    dataset = DATASET

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rng = np.random.default_rng(7)

    def done(
        self,
        name: str,
        ranks: int = 1,
        *,
        config: dict[str, Any] | None = None,
        dataset: dict[str, Any] | None = None,
        step_seconds: Iterable[float] | None = None,
        compute_share: float = 0.8,
        vpt: float | None = 4.0,
        num_warmup_steps: int = 5,
        metrics: dict[str, tuple[float | None, str]] | None = None,
        sequences_per_step: float | None = None,
        provenance: dict[str, Any] | None = None,
        loss_noise: float = 0.0,
    ) -> Path:
        """Write a finished run; ``vpt=None`` leaves out the forecasts."""
        config = config or make_config()
        backend = config["train"].get("backend", "horovod")
        directory = self._open(name, config, dataset or DATASET)
        steps = np.asarray(
            list(step_seconds) if step_seconds is not None
            else 0.1 / ranks * np.exp(0.03 * self.rng.standard_normal(100))
        )  # fmt: skip
        timed = steps[num_warmup_steps:] if len(steps) > num_warmup_steps else steps
        loss = np.exp(-np.arange(len(steps)) / 40) + 0.01
        loss = loss * (1 + loss_noise * self.rng.standard_normal(len(steps)))
        sequences = sequences_per_step or float(config["train"]["global_batch"])
        with h5py.File(directory.path / "metrics.h5", "w") as file:
            slower = 1 - 0.02 * np.arange(ranks) / max(ranks, 1)
            file["loss"] = loss
            file["step_seconds"] = steps[:, None] * slower
            file["compute_seconds"] = compute_share * steps[:, None] * slower
            file["validation_step"] = np.arange(0, len(steps), 20)
            file["validation_loss"] = loss[::20] * 1.1
            file["learning_rate"] = np.full(len(steps), 1e-3)
            file.attrs["num_warmup_steps"] = num_warmup_steps
            file.attrs["sequences_per_step"] = sequences
            file.attrs["sites_per_sequence"] = 40
        values: dict[str, tuple[float | None, str]] = {
            "final_loss": (float(loss[-1]), "1"),
            "validation_loss": (float(loss[-1] * 1.1), "1"),
            "training_seconds": (float(steps.sum()), "s"),
            "step_seconds": (float(np.median(timed)), "s"),
            "sequences_per_second": (sequences * len(timed) / float(timed.sum()), "1/s"),
            "parameters": (5500.0, "1"),
        }
        if vpt is not None:
            values |= self.forecasts(directory.path, vpt)
        values |= metrics or {}
        self.provenance(directory.path, ranks, backend, provenance or {})
        directory.status("done", len(steps), len(steps))
        directory.result(
            "train", "done", [
                Metric(key, value, unit, n=64 if key.startswith("vpt") else 1)
                for key, (value, unit) in values.items()
            ],
            ranks=ranks, backend=backend,
            command=["hpcbench", "train", "spec with space.toml", "--out", f"runs/{name}"],
        )  # fmt: skip
        return directory.path

    def forecasts(self, path: Path, vpt: float) -> dict[str, tuple[float | None, str]]:
        """Write forecast.h5 whose errors cross the threshold at times with the mean ``vpt``."""
        time = np.arange(1, 901) * 0.01 * 1.68
        when = vpt * np.exp(0.2 * self.rng.standard_normal(64))
        when *= vpt / when.mean()
        nrmse = np.minimum(0.5 * np.exp(time[None] - when[:, None]), 1.4)
        persistence = np.minimum(1.6 * time, 1.4)
        climatology = np.ones_like(time)
        with h5py.File(path / "forecast.h5", "w") as file:
            file["nrmse"], file["time_lyapunov"] = nrmse, time
            file["vpt"], file["censored"] = when, when >= time[-1]
            sites = np.arange(40)
            truth = np.sin(0.5 * sites[None] + 2 * time[:, None])[None].astype("float32")
            file["truth"] = truth
            file["forecast"] = truth * (1 - np.minimum(nrmse[:1, :, None], 1)).astype("float32")
            file["persistence_nrmse"], file["climatology_nrmse"] = persistence, climatology
            file.attrs["lyapunov_exponent"] = 1.68
            file.attrs["sample_interval"] = 0.01
            file.attrs["threshold"] = 0.5
        unit = "Lyapunov times"
        return {
            "vpt_mean": (float(when.mean()), unit),
            "vpt_median": (float(np.median(when)), unit),
            "vpt_standard_error": (float(when.std(ddof=1) / 8), unit),
            "vpt_censored_share": (0.0, "1"),
            "vpt_persistence": (0.31, unit),
            "vpt_climatology": (0.0, unit),
            **{f"nrmse_{lead:g}": (float(np.interp(lead, time, nrmse.mean(axis=0))), "1")
               for lead in (0.25, 0.5, 1.0, 2.0)},
        }  # fmt: skip

    def provenance(self, path: Path, ranks: int, backend: str, changes: dict[str, Any]) -> None:
        """Write provenance.json with one entry per rank."""
        entry = {
            "host": "n1", "cpu": "A CPU", "cores": 8, "threads": 1, "gpu": None,
            "versions": {"torch": "2.13.0", "horovod": "0.28.1"}, "mpi": "Open MPI v5.0.11",
            "backend": backend, "slurm": {}, "environment": {"OMP_NUM_THREADS": "1"}, **changes,
        }  # fmt: skip
        document = {
            "ranks": [{"rank": r, "binding": [r], **entry} for r in range(ranks)],
            "code": {"version": "0.1.0", "commit": "abc", "dirty": None},
            "times": {"init_seconds": 1.5},
        }
        write_json(path / "provenance.json", document)

    def repeated(self, factor: float) -> None:
        """Write 6 runs on 1 and on 2 ranks whose steps take ``factor`` times 0.1 s, divided."""
        for ranks in (1, 2):
            for k in range(6):
                seconds = 0.1 / ranks * factor * np.exp(0.01 * self.rng.standard_normal(20))
                self.done(f"points/p{ranks}/a{k}", ranks, step_seconds=seconds, vpt=None)

    def unfinished(self, name: str, state: Any, reason: str = "", ranks: int = 1) -> Path:
        """Write a run that has a heartbeat but no result."""
        directory = self._open(name, make_config(), DATASET)
        directory.status(state, 17, 200, reason)
        return directory.path

    def raw(self, name: str, text: str, file: str = "result.json") -> Path:
        """Write a run whose record is any text."""
        path = self.root / name
        path.mkdir(parents=True)
        (path / file).write_text(text)
        return path

    def study(self, **content: Any) -> None:
        """Write study.json."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "study.json").write_text(json.dumps({"schema": 1, **content}))

    def _open(self, name: str, config: dict[str, Any], dataset: dict[str, Any]) -> RunDirectory:
        directory = RunDirectory(self.root / name, config, dataset)
        directory.open(resume=False)
        assert directory.run.config_hash == content_hash({"config": config, "dataset": dataset})
        return directory


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the record cache of a test to itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def run_writer() -> type[RunWriter]:
    """The writer itself, for fixtures that outlive a test."""
    return RunWriter


@pytest.fixture
def runs(tmp_path: Path) -> RunWriter:
    """A writer of synthetic runs below ``tmp_path/runs/study``."""
    return RunWriter(tmp_path / "runs" / "study")


@pytest.fixture
def make_runs(tmp_path: Path) -> Callable[[str], RunWriter]:
    """Writers below ``tmp_path/runs/NAME``, for tests with several studies."""
    return lambda name: RunWriter(tmp_path / "runs" / name)
