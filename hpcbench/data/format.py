"""Dataset format v1: its names and its header, and how a file of it is told from others.

The format is specified in ``docs/data_format.md``. :mod:`hpcbench.data.dataset` reads it,
:mod:`hpcbench.data.writer` writes it and :mod:`hpcbench.data.check` holds a file to every
rule.
"""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import h5py
import numpy as np
from pydantic import Field, model_validator

from hpcbench.config.tree import Config, canonical_json, content_hash, validate
from hpcbench.errors import InputError, nearest

FORMAT = "hpcbench-dataset"
PART_FORMAT = "hpcbench-dataset-part"
VERSION = 1

SPLITS = ("train", "validation", "test")
"""Names of the splits; ``/split`` holds their indices."""

SCALES = {
    "state": ("trajectory", "time", "component"),
    "final_state": ("trajectory", "component"),
    "checksum": ("block", "trajectory"),
    "split": ("trajectory",),
    "mean": ("component",),
    "std": ("component",),
}
"""Axes of every dataset; each axis is a dimension scale of that name."""

Split = Literal["train", "validation", "test"]
Layout = Literal["file", "parts", "collective"]
Positive = Annotated[int, Field(ge=1)]
PositiveTime = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Header(Config):
    """What defines the content of a dataset.

    system
        Name of the dynamical system.
    parameters
        Its parameters by name.
    integrator, step
        Numerical scheme and its step in model time units.
    sample_interval
        Model time between two samples.
    spin_up
        Model time discarded before the first sample.
    seed
        With the index of a trajectory, the key of its random initial state.
    num_trajectories, num_samples, num_components
        Shape of ``/state``.
    dtype
        Precision of ``/state`` on disk.
    split
        Number of trajectories in the training, validation and test splits, in this order.
    lyapunov_exponent, lyapunov_source
        Largest Lyapunov exponent per model time unit and where it was taken from; None where
        no value is known.
    """

    system: str
    parameters: dict[str, int | float | str]
    integrator: str
    step: PositiveTime
    sample_interval: PositiveTime
    spin_up: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    num_trajectories: Positive
    num_samples: Positive
    num_components: Positive
    dtype: Literal["float32", "float64"]
    split: tuple[int, int, int]
    lyapunov_exponent: Annotated[float, Field(allow_inf_nan=False)] | None = None
    lyapunov_source: str = ""

    @model_validator(mode="after")
    def _split_adds_up(self) -> Self:
        if sum(self.split) != self.num_trajectories or min(self.split) < 0:
            raise ValueError(
                f"split {list(self.split)} does not add up to {self.num_trajectories} trajectories"
            )
        if self.split[0] < 1:
            raise ValueError("split leaves no trajectory for training; valid: at least one")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of ``/state``: (trajectory, time, component)."""
        return self.num_trajectories, self.num_samples, self.num_components

    @property
    def num_bytes(self) -> int:
        """Size of ``/state``."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def content_hash(self) -> str:
        """Return the name of the content: equal for equal bytes of ``/state`` and ``/split``.

        The Lyapunov exponent describes the system and does not enter.
        """
        description = self.model_dump(mode="json")
        del description["lyapunov_exponent"], description["lyapunov_source"]
        return content_hash(description)


ATTRIBUTES = (
    "system", "parameters", "integrator", "step", "sample_interval", "spin_up", "seed",
    "lyapunov_exponent", "lyapunov_source",
)  # fmt: skip
"""Fields of :class:`Header` kept as attributes; the others follow from the datasets."""


def write_header(file: h5py.File, header: Header) -> None:
    """Store the header as attributes of the file's root."""
    for name in ATTRIBUTES:
        value = getattr(header, name)
        if name == "parameters":
            value = canonical_json(value)
        elif name == "seed":
            value = np.uint64(value)
        elif name == "lyapunov_exponent" and value is None:
            value = np.nan
        file.attrs[name] = value


def read_header(file: h5py.File, path: Path) -> Header:
    """Return the header of an open dataset; raise :class:`InputError` when it is not valid."""
    for name in ("state", "split"):
        if name not in file:
            raise InputError(f"{path}: /{name} is missing: not a complete {FORMAT} file")
    data: dict[str, Any] = {}
    for name in ATTRIBUTES:
        if name not in file.attrs:
            raise InputError(f"{path}: attribute {name} is missing: not a complete {FORMAT} file")
        value = file.attrs[name]
        data[name] = value.item() if isinstance(value, np.generic) else value
    try:
        data["parameters"] = json.loads(data["parameters"])
    except (TypeError, ValueError):
        given = data["parameters"]
        raise InputError(f"{path}: attribute parameters: not JSON, given {given!r}") from None
    if np.isnan(data["lyapunov_exponent"]):
        data["lyapunov_exponent"] = None
    state, split = file["state"], file["split"]
    if state.ndim != 3:
        raise InputError(
            f"{path}: /state has {state.ndim} axes; valid: trajectory, time, component"
        )
    data["num_trajectories"], data["num_samples"], data["num_components"] = state.shape
    data["dtype"] = state.dtype.name
    data["split"] = np.bincount(split[()].astype(np.int64), minlength=3).tolist()
    return validate(Header, data, str(path))


def read_generator(file: h5py.File) -> dict[str, Any]:
    """Return what ``@generator`` of an open file says."""
    generator: dict[str, Any] = json.loads(file.attrs["generator"])
    return generator


def part_path(path: Path, index: int) -> Path:
    """Return the path of one part of a dataset in the layout ``parts``."""
    return path.with_name(f"{path.name}.parts") / f"{index:05d}.h5"


def open_hdf5(path: Path, mode: str = "r", **options: Any) -> h5py.File:
    """Open an HDF5 file; raise :class:`InputError` saying why it cannot be read."""
    try:
        return h5py.File(path, mode, **{"locking": "best-effort", **options})
    except FileNotFoundError:
        hint = nearest(path.name, [p.name for p in path.parent.glob("*.h5")])
        raise InputError(
            f"{path}: no such file{hint}; make one with: hpcbench simulate SPEC.toml --out {path}"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: {_reason(path, error)}") from None


def _reason(path: Path, error: OSError) -> str:
    text = str(error)
    if path.is_dir():
        return "is a folder; give the path of the HDF5 file"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot be opened: {error.strerror or text}"
    if "unable to lock" in text:
        return "is being written by another process; wait until it has finished"
    if "truncated" in text:
        return "is truncated: the end of the file is missing; copy or generate it again"
    if "file signature not found" in text or "unable to find" in text:
        return "is not an HDF5 file; give a dataset written by hpcbench simulate"
    return f"cannot be read as HDF5: {text}"


Content = TypeVar("Content")

DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, MemoryError)
"""What h5py raises, here or there, when it reads damaged metadata."""


def read_hdf5(path: Path, read: Callable[[h5py.File], Content], **options: Any) -> Content:
    """Return what ``read`` takes from a file; damage met on the way is an :class:`InputError`."""
    with open_hdf5(path, **options) as file:
        try:
            return read(file)
        except DAMAGE as error:
            text = str(error).strip("'\"")
            raise InputError(f"{path}: is damaged: {text}; copy or generate it again") from None


def check_format(file: h5py.File, path: Path, expected: str = FORMAT) -> None:
    """Raise :class:`InputError` unless the file has our format mark and a version we know."""
    found = file.attrs.get("format")
    if found != expected:
        if found == PART_FORMAT:
            raise InputError(f"{path}: is one part of a dataset; give the file beside its folder")
        raise InputError(
            f"{path}: is an HDF5 file of another kind (attribute format is {found!r}, "
            f"valid: {expected!r}); give a dataset written by hpcbench simulate"
        )
    version = file.attrs.get("version")
    if version != VERSION:
        raise InputError(
            f"{path}: is version {version} of the dataset format; this release reads version "
            f"{VERSION}; generate it again or use the release that wrote it"
        )
