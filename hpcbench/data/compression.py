"""Compressed ``/state``: chunks of samples, shuffled and packed by Blosc2 with LZ4.

HDF5 leaves both to a filter, which the distribution ``hdf5plugin`` brings (the extra ``blosc2``).
"""

import importlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcbench.data.format import Header
from hpcbench.errors import EnvironmentLacks

BLOSC2 = 32026
"""Number under which the HDF Group lists the filter."""

FILTERS = {
    BLOSC2: "blosc2",
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
}
"""Names of filters that files may have; what packed a file by other means is read all the same."""

CHUNK_BYTES = 512 * 2**10
"""About the size of a chunk: large enough to be packed at full rate, and to be few."""

LEVELS = range(10)
"""Levels of Blosc2: 0 only stores, 9 tries hardest."""


def filter_numbers(dataset: h5py.Dataset) -> list[int]:
    """Return the numbers of the filters that the chunks of an array pass, in order."""
    creation = dataset.id.get_create_plist()
    return [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]


def describe(dataset: h5py.Dataset) -> str:
    """Return the names of the filters of an array, ``none`` where it has none."""
    return " ".join(FILTERS.get(n, f"filter {n}") for n in filter_numbers(dataset)) or "none"


def require_filter(number: int, path: Path) -> None:
    """Make a filter known to HDF5; raise :class:`EnvironmentLacks` where there is none."""
    if h5py.h5z.filter_avail(number):
        return
    with suppress(ImportError):
        importlib.import_module("hdf5plugin")  # which registers what it has
    if not h5py.h5z.filter_avail(number):
        name = FILTERS.get(number, f"filter {number}")
        raise EnvironmentLacks(
            f'{path}: compression "{name}" needs a filter that HDF5 does not have here; '
            "pip install hdf5plugin brings it (in a checkout of hpcbench: "
            "pip install --editable '.[blosc2]')"
        )


def blosc2(level: int) -> dict[str, Any]:
    """Return the options of ``create_dataset`` for Blosc2: LZ4 after a shuffle of the bytes."""
    byte_shuffle, lz4 = 1, 1
    return {"compression": BLOSC2, "compression_opts": (0, 0, 0, 0, level, byte_shuffle, lz4)}


def chunk_shape(header: Header) -> tuple[int, int, int]:
    """Return the shape of the chunks, (trajectory, time, component), of at most 512 KiB.

    Samples of one trajectory while there are enough of them, so that reading a trajectory
    unpacks nothing else; several trajectories where they are short, a piece of a sample where a
    sample is long. The chunks share an axis evenly.
    """
    num_trajectories, num_samples, num_components = header.shape
    room = CHUNK_BYTES // np.dtype(header.dtype).itemsize
    if num_components > room:
        return 1, 1, _even(num_components, room)
    if num_samples * num_components > room:
        return 1, _even(num_samples, room // num_components), num_components
    together = room // (num_samples * num_components)
    return _even(num_trajectories, together), num_samples, num_components


def _even(length: int, most: int) -> int:
    """Return the size of equal pieces of a length, none larger than ``most``."""
    return -(-length // -(-length // most))
