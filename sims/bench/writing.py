"""Writing datasets, measured against writing the same bytes and against the kernel alone."""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np

from hpcbench.data.format import part_path
from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks
from sims.bench.result import measured
from sims.generation.ensemble import generate
from sims.generation.members import share_members
from sims.generation.spec import DatasetSpec, make_spec

NUM_TRAJECTORIES, NUM_SITES = 256, 40
STEPS_WHEN_WRITING, STEPS_WHEN_COMPUTING = 1, 100
"""Steps per sample: at one the disk is the limit, at a hundred the kernel is."""

COMPUTING_SHARE = 4
"""How many times smaller the dataset is for which the kernel is the limit: it takes its time."""

RAW_BYTES = 2**20
"""Size of one raw write, the fastest of those from 32 KiB to 16 MiB."""


def io_rates(folder: Path, megabytes: int, num_rounds: int, ranks: Ranks) -> list[dict[str, Any]]:
    """Return rates and ratios as results, from rounds in which every work has its turn.

    Called by every rank. Times are those of the wall clock, because a disk does not use the
    processor's, from when all ranks begin until all have ended.

    folder
        Where to write; what is written there is deleted.
    megabytes
        Size of ``/state`` where the disk is the limit, all ranks together.
    """
    writing = _spec(STEPS_WHEN_WRITING, megabytes)
    computing = _spec(STEPS_WHEN_COMPUTING, max(megabytes // COMPUTING_SHARE, 1))
    place = _make_folder(folder, ranks)
    seconds: dict[str, list[float]] = {}
    try:
        for number in range(num_rounds + 1):
            for name, taken in _one_round(place, writing, computing, ranks).items():
                if number:  # the first fills caches and loads libraries
                    seconds.setdefault(name, []).append(taken)
    finally:
        ranks.first(place.rmdir)
    num_bytes = writing.header().num_bytes
    updates = NUM_TRAJECTORIES * NUM_SITES * _num_steps(computing)
    every = f"{STEPS_WHEN_COMPUTING} steps per sample"
    return [
        _rate("raw write", num_bytes, seconds["raw"], "B/s"),
        _rate("dataset, every step saved", num_bytes, seconds["writing"], "B/s"),
        _ratio("  of the raw write", seconds["raw"], seconds["writing"]),
        _rate(f"kernel alone, {every}", updates, seconds["kernel"], "updates/s"),
        _rate(f"dataset, {every}", updates, seconds["computing"], "updates/s"),
        _ratio("  of the kernel alone", seconds["kernel"], seconds["computing"]),
    ]


def _make_folder(folder: Path, ranks: Ranks) -> Path:
    def make() -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix="bench-io-", dir=folder))
        except OSError as error:
            raise InputError(
                f"--folder: {folder}: cannot be written ({error.strerror}); give another"
            ) from None

    return ranks.first(make)


def _one_round(
    place: Path, writing: DatasetSpec[Any], computing: DatasetSpec[Any], ranks: Ranks
) -> dict[str, float]:
    """Return the seconds that every work takes."""
    members = share_members(NUM_TRAJECTORIES, ranks.rank, ranks.size)
    num_bytes = writing.header().num_bytes * len(members) // NUM_TRAJECTORIES

    def make(spec: DatasetSpec[Any]) -> float:
        layout: Any = "file" if ranks.size == 1 else "parts"
        return _seconds(lambda: generate(spec, place / "x.h5", layout, False, ranks), place, ranks)

    return {
        "raw": _seconds(lambda: _write_raw(place / f"raw{ranks.rank}", num_bytes), place, ranks),
        "writing": make(writing),
        "kernel": _seconds(lambda: _advance(computing, members), place, ranks),
        "computing": make(computing),
    }


def _spec(steps_per_sample: int, megabytes: int) -> DatasetSpec[Any]:
    num_samples = max(2, round(megabytes * 1e6 / (4 * NUM_TRAJECTORIES * NUM_SITES)))
    return make_spec(
        {
            "system": "lorenz96",
            "seed": 1,
            "parameters": {"num_sites": NUM_SITES, "forcing": 8.0},
            "integration": {"scheme": "rk4", "step": 0.01, "spin_up": 0.0},
            "sampling": {
                "num_trajectories": NUM_TRAJECTORIES,
                "num_samples": num_samples,
                "sample_interval": 0.01 * steps_per_sample,
                "dtype": "float32",
                "split": [0.8, 0.1, 0.1],
            },
        },
        "bench io",
    )


def _num_steps(spec: DatasetSpec[Any]) -> int:
    return (spec.sampling.num_samples - 1) * spec.steps_per_sample


def _seconds(work: Callable[[], Any], place: Path, ranks: Ranks) -> float:
    """Return the time from when all ranks begin until all have ended; delete what was written."""
    ranks.gather(None)
    try:
        with redirect_stderr(io.StringIO()):  # no progress of every single dataset
            begin = time.perf_counter()
            work()
            ranks.gather(None)
            return time.perf_counter() - begin
    finally:
        if ranks.is_first:
            parts = part_path(place / "x.h5", 0).parent
            for file in [*place.glob("*"), *parts.glob("*")]:
                if file.is_file():
                    file.unlink()
            if parts.exists():
                parts.rmdir()


def _write_raw(path: Path, num_bytes: int) -> None:
    block = np.ones(RAW_BYTES, np.uint8)
    with path.open("wb", buffering=0) as file:
        for first in range(0, num_bytes, block.size):
            os.pwrite(file.fileno(), block[: num_bytes - first].data, first)


def _advance(spec: DatasetSpec[Any], members: range) -> None:
    system, num_steps = spec.build_system(), _num_steps(spec)
    states = system.initial_states(spec.seed, members)
    system.advance(states, spec.integration.step, num_steps, num_steps)


def _rate(name: str, amount: float, seconds: list[float], unit: str) -> dict[str, Any]:
    rates = [amount / taken for taken in seconds]
    return measured(name, rates, unit)


def _ratio(name: str, ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """Return the ratio of the medians, with the spread of the rounds' ratios."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return measured(name, ratios, "", statistics.median(ours) / statistics.median(theirs))
