"""The layout of a new dataset, and its empty files."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import h5py

from hpcbench.data.format import Header, Layout, part_path
from hpcbench.data.writer import (
    bookkeeping_bytes,
    create_part,
    create_virtual,
    create_whole,
    generator_description,
)
from hpcbench.errors import EnvironmentLacks, InputError, told_as
from hpcbench.parallel.ranks import Ranks
from sims.generation.existing import nothing_written
from sims.generation.members import MEMBER_GROUP, num_groups, share_members


def choose_layout(layout: Layout | None, size: int) -> Layout:
    """Return the layout of a new dataset on ``size`` ranks."""
    if layout is not None:
        return layout
    if size == 1:
        return "file"
    return "collective" if h5py.get_config().mpi else "parts"


def check_layout(header: Header, layout: Layout, size: int) -> None:
    """Raise when ``size`` ranks cannot write a dataset in a layout."""
    if layout == "file" and size > 1:
        raise InputError(
            f'--layout: "file" is written by one rank, and there are {size}; valid here: "parts" '
            '(one file per rank) and "collective" (one file, needs HDF5 with MPI)'
        )
    if layout == "collective" and not h5py.get_config().mpi:
        raise EnvironmentLacks(
            '--layout: "collective" needs an h5py built with MPI, and this one is not; use '
            '"parts" (every reader sees it as one file), or build h5py with HDF5_MPI=ON'
        )
    if num_groups(header.num_trajectories) < size:
        raise InputError(
            f"sampling.num_trajectories: given {header.num_trajectories}, too few for {size} "
            f"ranks: every rank takes at least {MEMBER_GROUP}; start at most "
            f"{num_groups(header.num_trajectories)} ranks or give more trajectories"
        )


def create(
    path: Path, header: Header, layout: Layout, made: Mapping[str, str], ranks: Ranks
) -> None:
    """Make the empty files of a new dataset; called by every rank.

    made
        What is added to ``@generator``.
    """
    folder = part_path(path, 0).parent

    def prepare() -> None:
        free = shutil.disk_usage(path.parent).free
        needed = header.num_bytes + bookkeeping_bytes(header)
        if free < needed:
            raise InputError(
                f"{path}: needs {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free "
                f"in {path.parent}; give another --out, or fewer trajectories or samples"
            )
        if folder.exists() and nothing_written(folder):
            shutil.rmtree(folder)
        if layout == "parts":
            folder.mkdir()

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        path.with_name(f"{path.name}.new").unlink(missing_ok=True)

    generator = {**generator_description(ranks.size, layout), **made}
    members = [share_members(header.num_trajectories, r, ranks.size) for r in range(ranks.size)]
    told = told_as(InputError, f"{path}: cannot be written")
    try:
        ranks.first(told(prepare))
        if layout == "parts":
            mine = members[ranks.rank]
            ranks.together(told(lambda: create_part(path, ranks.rank, header, mine)))
            ranks.first(told(lambda: create_virtual(path, header, generator, members)))
        else:
            ranks.first(told(lambda: create_whole(path, header, generator)))
    except BaseException:
        if ranks.is_first:
            remove()
        raise
