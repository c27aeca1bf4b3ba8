"""Writing datasets, measured against writing the same bytes and against the kernel alone."""

import io
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np

from hpcbench.errors import InputError
from hpcbench.ranks import Ranks
from sims.ensemble import generate
from sims.spec import DatasetSpec, make_spec

NUM_TRAJECTORIES, NUM_SITES = 256, 40
STEPS_WHEN_WRITING, STEPS_WHEN_COMPUTING = 1, 40
"""Steps per sample: at one the disk is the limit, at forty the kernel is."""


def io_rates(folder: Path, megabytes: int, num_rounds: int) -> dict[str, list[float]]:
    """Return name → rates or shares, one per round; in each round every work has its turn.

    Times are those of the wall clock, because a disk does not use the processor's.

    folder
        Where to write; what is written there is deleted.
    megabytes
        Size of ``/state``.
    """
    writing = _spec(STEPS_WHEN_WRITING, megabytes)
    computing = _spec(STEPS_WHEN_COMPUTING, max(megabytes // 8, 1))
    found: dict[str, list[float]] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-io-", dir=folder) as place:
            for number in range(num_rounds + 1):
                taken = _one_round(Path(place), writing, computing)
                if number:  # the first fills caches and loads libraries
                    for name, value in taken.items():
                        found.setdefault(name, []).append(value)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"--folder: {folder}: cannot be written ({reason}); give another"
        ) from None
    return found


def _one_round(
    place: Path, writing: DatasetSpec[Any], computing: DatasetSpec[Any]
) -> dict[str, float]:
    num_bytes = writing.header().num_bytes
    raw = _seconds(lambda: _write_raw(place / "raw", num_bytes))
    dataset = _seconds(lambda: generate(writing, place / "io.h5", "file", False, Ranks()))
    kernel = _seconds(lambda: _advance(computing))
    whole = _seconds(lambda: generate(computing, place / "compute.h5", "file", False, Ranks()))
    for file in place.iterdir():
        file.unlink()
    updates = NUM_TRAJECTORIES * NUM_SITES * _num_steps(computing)
    return {
        "raw write": num_bytes / raw,
        "dataset, every step saved": num_bytes / dataset,
        "  of the raw write": raw / dataset,
        f"kernel alone, {STEPS_WHEN_COMPUTING} steps per sample": updates / kernel,
        f"dataset, {STEPS_WHEN_COMPUTING} steps per sample": updates / whole,
        "  of the kernel alone": kernel / whole,
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


def _seconds(work: Callable[[], Any]) -> float:
    with redirect_stderr(io.StringIO()):  # no progress of every single dataset
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin


def _write_raw(path: Path, num_bytes: int) -> None:
    block = np.ones(1 << 22, np.uint8)
    with path.open("wb", buffering=0) as file:
        for first in range(0, num_bytes, block.size):
            file.write(block[: num_bytes - first].data)


def _advance(spec: DatasetSpec[Any]) -> None:
    system, num_steps = spec.build_system(), _num_steps(spec)
    states = system.initial_states(spec.seed, range(NUM_TRAJECTORIES))
    system.advance(states, spec.integration.step, num_steps, num_steps)
