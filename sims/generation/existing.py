"""What is at the path of a dataset already: nothing, all of it, a part, or something else."""

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
from hpcbench.errors import InputError
from sims.generation.extension import differences


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
        different = ", ".join(differences(found, header).values())
        raise InputError(
            f"{path}: holds another dataset ({state}): {different}; give another --out{hint}, or "
            "delete it"
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
