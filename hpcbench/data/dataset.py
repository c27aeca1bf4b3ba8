"""Reading datasets: trajectories of one system in HDF5, mapped into memory.

Readers need not care whether a dataset is one file or one file per rank behind a virtual
dataset (``docs/data_format.md``): :class:`Dataset` finds the contiguous trajectories either way.
A memory map hands out random windows several times faster than the HDF5 library reads them. The
trajectories of a compressed dataset are unpacked whole, each time that one is asked for.
"""

import bisect
import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from hpcbench.data.extents import read_extents
from hpcbench.data.format import (
    SPLITS,
    Layout,
    Split,
    check_format,
    read_generator,
    read_hdf5,
    read_header,
)
from hpcbench.errors import InputError, nearest

READ_BYTES = 8 * 2**20
"""Most bytes of one read, where all of a dataset is read in order."""


class Dataset:
    """A complete dataset, open for reading; made by :func:`open_dataset`.

    Attributes
    ----------
    path
        The file.
    header
        Everything that defines the content (:class:`Header`).
    mean, std
        Of each component over the training split, ``(component,)``, float64.
    split
        Index into :data:`SPLITS` of each trajectory, ``(trajectory,)``.
    block_starts
        First sample of each written block, ``(block,)``.
    generator
        Version, commit, ranks and layout of the program that created the file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        read_hdf5(self.path, self._read)
        self._firsts = [extent.first for extent in self.extents]
        self._maps = [None if e.offset is None else e.map() for e in self.extents]

    def _read(self, file: h5py.File) -> None:
        check_format(file, self.path)
        self.header = read_header(file, self.path)
        self.generator = read_generator(file)
        self.extents = read_extents(file, self.path, self.header)
        if not file.attrs["complete"]:
            raise InputError(
                f"{self.path}: is incomplete: its generation was interrupted; continue it with: "
                f"hpcbench simulate SPEC.toml --out {self.path} --resume"
            )
        self.split: np.ndarray = file["split"][()]
        self.mean: np.ndarray = file["mean"][()]
        self.std: np.ndarray = file["std"][()]
        self.block_starts: np.ndarray = file["block"][()]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.absolute()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again: another process gets the path and not the states."""
        Dataset.__init__(self, state["path"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the mapped files; arrays handed out earlier stay valid."""
        self._maps = []

    @property
    def system(self) -> str:
        """Name of the dynamical system."""
        return self.header.system

    @property
    def parameters(self) -> dict[str, int | float | str]:
        """Parameters of the system by name."""
        return self.header.parameters

    @property
    def integrator(self) -> str:
        """Name of the numerical scheme."""
        return self.header.integrator

    @property
    def step(self) -> float:
        """Step of the numerical scheme in model time units."""
        return self.header.step

    @property
    def sample_interval(self) -> float:
        """Model time between two samples."""
        return self.header.sample_interval

    @property
    def lyapunov_exponent(self) -> float | None:
        """Largest Lyapunov exponent per model time unit, None where no value is known."""
        return self.header.lyapunov_exponent

    @property
    def lyapunov_source(self) -> str:
        """Where the Lyapunov exponent was taken from."""
        return self.header.lyapunov_source

    @property
    def num_trajectories(self) -> int:
        """Number of trajectories in all splits."""
        return self.header.num_trajectories

    @property
    def num_samples(self) -> int:
        """Number of samples of each trajectory."""
        return self.header.num_samples

    @property
    def num_components(self) -> int:
        """Number of components of the state."""
        return self.header.num_components

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the stored states."""
        return np.dtype(self.header.dtype)

    @property
    def content_hash(self) -> str:
        """Name of the content; see :meth:`Header.content_hash`."""
        return self.header.content_hash()

    @property
    def compression(self) -> str:
        """The HDF5 filters that ``/state`` passed, or ``none``."""
        return self.extents[0].compression

    @property
    def layout(self) -> Layout:
        """How the trajectories are laid out in files."""
        layout: Layout = self.generator["layout"]
        return layout

    def members(self, split: Split) -> np.ndarray:
        """Return the indices of the trajectories of a split, ``(member,)``, ascending."""
        if split not in SPLITS:
            valid = ", ".join(SPLITS)
            raise InputError(f'"{split}" is no split{nearest(split, SPLITS)}; valid: {valid}')
        return np.flatnonzero(self.split == SPLITS.index(split))

    def trajectory(self, member: int) -> np.ndarray:
        """Return one trajectory, ``(time, component)``: a read-only map into the file.

        From a compressed file, a copy; raises :class:`InputError` where it cannot be unpacked.
        """
        part = bisect.bisect_right(self._firsts, member) - 1
        mapped = self._maps[part]
        if mapped is not None:
            return mapped[member - self._firsts[part]]
        with self.extents[part].open() as read:
            states = read(int(member), 0, self.header.num_samples)
        states.flags.writeable = False
        return states

    def state_sha256(self) -> str:
        """Return the SHA-256 of the bytes of ``/state``, the same for every layout."""
        digest = hashlib.sha256()
        num_samples = self.header.num_samples
        at_once = max(1, READ_BYTES // (self.header.num_components * self.dtype.itemsize))
        for extent in self.extents:
            with extent.open() as read:
                for member in extent.members:
                    for first in range(0, num_samples, at_once):
                        digest.update(read(member, first, min(first + at_once, num_samples)).data)
        return digest.hexdigest()

    def summary(self) -> list[dict[str, Any]]:
        """Return what the dataset holds as a list of name, value and unit."""
        counts = [len(self.members(name)) for name in SPLITS]  # type: ignore[arg-type]
        time = "model time units"
        values: list[tuple[str, Any, str]] = [
            ("system", self.system, ""),
            *((f"parameters.{name}", value, "") for name, value in self.parameters.items()),
            ("integrator", self.integrator, ""),
            ("step", self.step, time),
            ("spin_up", self.header.spin_up, time),
            ("sample_interval", self.sample_interval, time),
            ("seed", self.header.seed, ""),
            ("trajectories", self.num_trajectories, ""),
            *((f"trajectories.{name}", n, "") for name, n in zip(SPLITS, counts, strict=True)),
            ("samples", self.num_samples, "per trajectory"),
            ("components", self.num_components, ""),
            ("dtype", self.dtype.name, ""),
            ("state_bytes", self.header.num_bytes, "bytes"),
            ("layout", self.layout, ""),
            ("files", len(self.extents), ""),
            ("compression", self.compression, ""),
            ("blocks", len(self.block_starts), "per trajectory"),
            ("mean", float(self.mean.mean()), "over components"),
            ("std", float(np.sqrt(np.mean(self.std**2))), "root mean square over components"),
            ("lyapunov_exponent", self.lyapunov_exponent, "per model time unit"),
            ("lyapunov_source", self.lyapunov_source, ""),
            ("content_hash", self.content_hash, ""),
        ]
        return [{"name": name, "value": value, "unit": unit} for name, value, unit in values]


def open_dataset(path: Path | str, mapped: bool = False) -> Dataset:
    """Open a complete dataset for reading.

    mapped
        Whether windows will be read at random places, which takes a map of the file.

    Raises :class:`InputError` when the file is missing, truncated, not one of ours, of another
    version or incomplete, or when one of its parts is; and when it is to be mapped and is
    compressed. Raises :class:`EnvironmentLacks` when nothing here can unpack it.
    """
    dataset = Dataset(path)
    if mapped and any(extent.offset is None for extent in dataset.extents):
        raise InputError(
            f"{path}: /state is in chunks (compression {dataset.compression}), and pieces of it "
            "cannot be mapped into memory; unpack it once, with: "
            f"hpcbench convert {path} OUT.h5 --compress none"
        )
    return dataset
