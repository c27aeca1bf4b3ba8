"""Where a dataset goes: what is at its path already, its layout, and its empty files."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import h5py

from hpcbench.data.extents import read_extents
from hpcbench.data.format import (
    PART_FORMAT,
    Header,
    Layout,
    check_format,
    part_path,
    read_generator,
    read_hdf5,
    read_header,
)
from hpcbench.data.writer import (
    bookkeeping_bytes,
    create_part,
    create_virtual,
    create_whole,
    generator_description,
)
from hpcbench.errors import EnvironmentLacks, InputError, told_as
from hpcbench.parallel.ranks import Ranks, share

MEMBER_GROUP = 2
"""Members are given to ranks in groups of this size, because compiled steppers may advance two
trajectories in one complex array; a member then has the same companion on any number of ranks."""


def num_groups(num_members: int) -> int:
    """Return the number of groups of members, the last of which may be smaller."""
    return -(-num_members // MEMBER_GROUP)


def share_members(num_members: int, rank: int, size: int) -> range:
    """Return the members of a rank: contiguous, whole groups, as even as groups allow."""
    groups = share(num_groups(num_members), rank, size)
    first, last = groups.start * MEMBER_GROUP, groups.stop * MEMBER_GROUP
    return range(first, min(last, num_members))


def look(
    path: Path,
    header: Header,
    layout: Layout | None,
    resume: bool,
    size: int,
    made: Mapping[str, str],
) -> Layout | Literal["complete"] | None:
    """Return what is at the path of a dataset: nothing (None), all of it, or its layout so far.

    made
        What this program would add to ``@generator``: the ``kernel``, and the content that the
        dataset ``extends``, if any.

    Raises :class:`InputError` when something else is there, when the dataset is unfinished and
    ``resume`` is not asked for, or when it was begun in a layout that does not fit, as the
    extension of something else, or by another kernel, whose states differ in their last bits.
    """
    if not path.exists():
        parts = part_path(path, 0).parent
        if parts.exists() and not nothing_written(parts):
            raise InputError(
                f"{parts}: is there, but {path} is not: part of a dataset that was moved; put the "
                "file back, or delete the folder"
            )
        return None

    def read(file: h5py.File) -> tuple[Header, dict[str, Any], bool]:
        check_format(file, path)
        found = read_header(file, path)
        read_extents(file, path, found)
        return found, read_generator(file), bool(file.attrs["complete"])

    found, generator, complete = read_hdf5(path, read)
    if found.content_hash() != header.content_hash():
        state = "complete" if complete else "unfinished"
        longer = found.model_copy(update={"num_samples": header.num_samples})
        hint = ""
        if complete and longer.content_hash() == header.content_hash():
            hint = f" (with --extend {path}, the other begins with the samples of this one)"
        raise InputError(
            f"{path}: holds another dataset ({state}): {_differences(found, header)}; give another "
            f"--out{hint}, or delete it"
        )
    if complete:
        return "complete"
    if not resume:
        raise InputError(
            f"{path}: holds this dataset, unfinished; add --resume to continue it, or delete it "
            "to start again"
        )
    begun: Layout = generator["layout"]
    if layout is not None and layout != begun:
        raise InputError(
            f'--layout: given "{layout}", but {path} was begun as "{begun}"; leave --layout out'
        )
    if generator.get("extends") != made.get("extends"):
        raise InputError(
            f"--extend: {path} was begun {'with' if 'extends' in generator else 'without'} it; "
            "continue it the same way, or delete it to start again"
        )
    kernel = made["kernel"]
    if (before := generator.get("kernel", kernel)) != kernel:
        raise InputError(
            f'integration.kernel: {path} was begun by "{before}", and here it would be continued '
            f'by "{kernel}", which rounds differently; continue it where it was begun '
            "(integration.kernel and the variable HPCBENCH_KERNELS choose), or delete it to start "
            "again"
        )
    # one process can go on with any single file
    return "file" if begun == "collective" and size == 1 else begun


def nothing_written(parts: Path) -> bool:
    """Tell whether a folder of parts holds no states: their creation was interrupted."""

    def is_empty(file: h5py.File) -> bool:
        return file.attrs.get("format") == PART_FORMAT and not file["resume/progress"][0]

    try:
        return all(
            place.name.endswith(".h5.new") or read_hdf5(place, is_empty)
            for place in parts.iterdir()
        )
    except (OSError, InputError):
        return False


def _differences(found: Header, wanted: Header) -> str:
    ours, theirs = wanted.model_dump(), found.model_dump()
    names = [n for n in ours if ours[n] != theirs[n] and not n.startswith("lyapunov")]
    return ", ".join(f"{name} is {theirs[name]}, not {ours[name]}" for name in names)


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
