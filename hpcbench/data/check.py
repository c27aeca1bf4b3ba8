"""Holding a dataset to the rules of its format (``docs/data_format.md``), and to its checksums."""

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.format import SCALES, read_hdf5
from hpcbench.data.store import add_sums, checksums
from hpcbench.data.writer import mean_and_std
from hpcbench.errors import InputError

STATISTICS_TOLERANCE = 1e-9
"""Relative difference that another summation order may leave in mean and std."""

ROWS = 4096
"""Rows read at once from arrays with a row for each trajectory."""


def check(path: Path | str) -> list[str]:
    """Return every broken rule of a dataset, each with what is valid; empty when all hold.

    Reads everything but ``/state`` (of which only the last samples); see :func:`verify`.
    """
    path = Path(path)
    try:
        with open_dataset(path) as dataset:
            return read_hdf5(path, lambda file: list(_broken_rules(file, dataset)))
    except InputError as error:
        return [str(error)]


def _broken_rules(file: h5py.File, dataset: Dataset) -> Iterator[str]:
    header, path = dataset.header, dataset.path
    num_trajectories, num_samples, num_components = header.shape
    ratio = header.sample_interval / header.step
    if abs(ratio - round(ratio)) > 1e-9 * ratio or ratio < 0.5:
        yield (
            f"{path}: @sample_interval {header.sample_interval} must be a whole number of "
            f"steps of {header.step}"
        )
    if header.lyapunov_exponent is not None and not header.lyapunov_source:
        yield f"{path}: @lyapunov_source is empty; say where {header.lyapunov_exponent} is from"
    for name in ("version", "commit", "ranks", "layout"):
        if name not in dataset.generator:
            yield f"{path}: @generator: {name} is missing"
    lengths = {
        "trajectory": num_trajectories,
        "time": num_samples,
        "component": num_components,
        "block": len(dataset.block_starts),
    }
    for name, axes in SCALES.items():
        if name not in file:
            yield f"{path}: /{name} is missing; valid: an array ({', '.join(axes)})"
            continue
        shape = tuple(lengths[axis] for axis in axes)
        if file[name].shape != shape:
            yield f"{path}: /{name} has shape {file[name].shape}; valid: {shape}"
            continue
        for position, axis in enumerate(axes):
            scales = file[name].dims[position]
            if axis not in file or not len(scales) or scales[0] != file[axis]:
                yield f"{path}: /{name}: axis {position} must have the dimension scale /{axis}"
    expected = {
        "trajectory": np.arange(num_trajectories),
        "time": np.arange(num_samples) * header.sample_interval,
        "component": np.arange(num_components),
    }
    for name, values in expected.items():
        if name not in file or file[name].shape != values.shape:
            yield f"{path}: /{name} must have {len(values)} values"
        elif not np.allclose(file[name][()], values, rtol=1e-12, atol=0):
            step = header.sample_interval if name == "time" else 1
            yield f"{path}: /{name} must be 0, {step}, {2 * step}, ... "
    starts = dataset.block_starts
    if starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= num_samples:
        yield f"{path}: /block must ascend from 0 and stay below {num_samples}"
    for name, values in (("mean", dataset.mean), ("std", dataset.std)):
        if values.dtype != np.float64 or not np.isfinite(values).all():
            yield f"{path}: /{name} must hold finite float64 numbers"
    if (dataset.std < 0).any():
        yield f"{path}: /std must not be negative"
    if "final_state" in file and file["final_state"].shape == (num_trajectories, num_components):
        if file["final_state"].dtype != np.float64:
            yield f"{path}: /final_state must be float64, not {file['final_state'].dtype}"
        for extent in dataset.extents:
            with extent.open() as read:
                for first in extent.members[::ROWS]:
                    end = min(first + ROWS, extent.members.stop)
                    final = file["final_state"][first:end].astype(header.dtype)
                    for m, state in enumerate(final, first):
                        if not np.array_equal(state, read(m, num_samples - 1, num_samples)[0]):
                            yield f"{path}: /final_state of trajectory {m} is not its last sample"
    if "checksum" in file:
        found = (file["checksum"].dtype.name, file["checksum"].attrs.get("algorithm", "crc32"))
        if found != ("uint32", "crc32"):
            yield f"{path}: /checksum is {found[0]} by {found[1]}; valid: uint32 by crc32"


def verify(dataset: Dataset, advance: Callable[[], None] = lambda: None) -> list[str]:
    """Read all of ``/state`` and return what disagrees with the checksums, mean or std.

    advance
        Called after each trajectory.
    """
    expected = read_hdf5(dataset.path, lambda file: file["checksum"][()])
    ends = [*dataset.block_starts[1:], dataset.num_samples]
    training = set(dataset.members("train").tolist())
    total = np.zeros((1, 2, dataset.num_components))
    problems = []
    for extent in dataset.extents:
        with extent.open() as read:
            for member in extent.members:
                sums = np.zeros_like(total)
                for block, (first, end) in enumerate(zip(dataset.block_starts, ends, strict=True)):
                    place = f"{extent.path}: block {block} of trajectory {member}"
                    try:
                        samples = read(member, first, end)
                    except InputError as error:
                        problems.append(f"{place}: {str(error).removeprefix(f'{extent.path}: ')}")
                        continue
                    if checksums(samples[None])[0] != expected[block, member]:
                        problems.append(
                            f"{place} (samples {first} to {end - 1}) does not match its checksum; "
                            "generate it again"
                        )
                    elif not np.isfinite(samples).all():
                        problems.append(f"{place} holds numbers that are not finite")
                    elif member in training:
                        add_sums(sums, samples[None])
                total += sums
                advance()
    if not problems:
        values = zip(
            ("mean", "std"),
            mean_and_std(total[0], len(training) * dataset.num_samples),
            (dataset.mean, dataset.std),
            strict=True,
        )
        problems += [
            f"{dataset.path}: /{name} is not that of the training split; generate it again"
            for name, computed, stored in values
            if not np.allclose(
                computed,
                stored,
                rtol=STATISTICS_TOLERANCE,
                atol=STATISTICS_TOLERANCE * float(np.abs(dataset.std).max()),
            )
        ]
    return problems
