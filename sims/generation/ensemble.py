"""Generating a dataset: members of an ensemble spread over ranks, block by block into HDF5."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hpcbench.console import progress
from hpcbench.data.extents import read_extents
from hpcbench.data.format import Header, Layout, read_hdf5
from hpcbench.data.store import CollectiveStore, Store
from hpcbench.data.writer import finish, writer_lock
from hpcbench.errors import EnvironmentLacks, HpcbenchError, InputError, PartlyDone, told_as
from hpcbench.parallel.ranks import Ranks, share
from sims.generation.advance import Advance, advance_members, num_pieces, num_steps_of
from sims.generation.existing import look
from sims.generation.extension import Extended
from sims.generation.layout import check_layout, choose_layout, create
from sims.generation.members import share_members
from sims.generation.spec import DatasetSpec
from sims.generation.store import CompiledStore
from sims.space.team import Team
from sims.systems.system import System


@dataclass(frozen=True)
class Generated:
    """What :func:`generate` did.

    already_there
        Whether the dataset was complete before.
    seconds
        Wall time of integration and writing.
    num_steps
        Steps of single members taken by all ranks, spin-up included.
    """

    already_there: bool
    seconds: float
    num_steps: int


def generate(
    spec: DatasetSpec[Any],
    path: Path,
    layout: Layout | None,
    resume: bool,
    ranks: Ranks,
    extend: Path | None = None,
    system: System | None = None,
) -> Generated:
    """Integrate the ensemble of a specification and write it as a dataset.

    Called by every rank of the job. The bytes of ``/state`` depend on the specification only.

    spec
        What to generate.
    path
        The dataset.
    layout
        ``file`` (one rank), ``parts`` (one file per rank behind a virtual dataset) or
        ``collective`` (one file written by all ranks; needs HDF5 with MPI). None chooses.
    resume
        Continue an interrupted generation.
    extend
        A finished dataset of fewer samples to begin with.
    system
        What takes the steps, where it is not the one of the specification.

    Raises :class:`InputError` when the path is taken or cannot be written,
    :class:`EnvironmentLacks` when HDF5 cannot do the layout, and :class:`PartlyDone` when the
    disk fills up on the way.
    """
    header = spec.header()
    if spec.integration.decomposition == "space" and system is None:
        return _generate_in_space(spec, path, layout, resume, ranks, extend)
    system = system or spec.build_system()
    kernel = system.kernel_name
    known: Extended | None = None
    if extend is not None:
        known = ranks.together(lambda: Extended(extend, header, kernel))
    made = {"kernel": kernel} | ({"extends": known.content_hash} if known else {})

    def look_up() -> Layout | Literal["complete"] | None:
        return look(path, header, layout, resume, ranks.size, made)

    if ranks.first(look_up) == "complete":
        return Generated(already_there=True, seconds=0.0, num_steps=0)
    with _only_writer(path, ranks):
        # again, because another writer may have been here in between
        found = ranks.first(look_up)
        if found == "complete":
            return Generated(already_there=True, seconds=0.0, num_steps=0)
        chosen = found or choose_layout(layout, ranks.size)
        ranks.together(lambda: check_layout(header, chosen, ranks.size))
        _check_kernels(kernel, ranks)
        if found is None:
            create(path, header, chosen, made, ranks)
        begin = time.perf_counter()
        with _open_advances(path, system, header, chosen, ranks) as advances:
            num_steps = _run(spec, system, path, advances, ranks, known)
        ranks.first(lambda: _finish(path, header))
        seconds = time.perf_counter() - begin
    return Generated(False, seconds, sum(ranks.gather(num_steps)))


def _generate_in_space(
    spec: DatasetSpec[Any],
    path: Path,
    layout: Layout | None,
    resume: bool,
    ranks: Ranks,
    extend: Path | None,
) -> Generated:
    """Let all ranks advance every trajectory together, and the first write it."""
    if layout not in (None, "file"):
        raise InputError(
            f'--layout: given "{layout}"; with integration.decomposition "space" the first rank '
            'writes: leave --layout out, or give "file"'
        )
    system = spec.build_system()
    _check_kernels(system.kernel_name, ranks)
    team = Team(system, spec.integration.step, ranks)
    return team.lead(lambda: generate(spec, path, "file", resume, Ranks(), extend, team))


def _check_kernels(kernel: str, ranks: Ranks) -> None:
    names = sorted(set(ranks.gather(kernel)))
    if len(names) > 1:
        raise EnvironmentLacks(
            f"integration.kernel: the ranks would use {' and '.join(names)}, which round "
            "differently; give them all one instruction set with the variable HPCBENCH_KERNELS, or "
            'set integration.kernel to "reference"'
        )


@contextmanager
def _only_writer(path: Path, ranks: Ranks) -> Iterator[None]:
    with ExitStack() as stack:

        @told_as(InputError, f"{path}: cannot be written")
        def lock() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(writer_lock(path))

        ranks.first(lock)
        yield


@contextmanager
def _open_advances(
    path: Path, system: System, header: Header, layout: Layout, ranks: Ranks
) -> Iterator[list[Advance]]:
    """Open the stores that this rank writes; the ranks may be more or fewer than the parts."""
    advances: list[Advance] = []
    # read before any rank opens a part for writing, which locks it
    extents = ranks.first(lambda: read_hdf5(path, lambda f: read_extents(f, path, header)))

    def begin(store: Store, members: range) -> None:
        advances.append(Advance.begin(store, members, system, header.dtype, threaded))

    own_store = CompiledStore if system.compiled else Store
    # without a core of its own, the writing thread would only get into the kernel's way
    threaded = ranks.spare_cores()

    def open_all() -> None:
        if layout == "parts":
            mine = share(len(extents), ranks.rank, ranks.size)
            for extent in extents[mine.start : mine.stop]:
                begin(own_store(extent.path, extent.members), extent.members)
        else:
            everyone = range(header.num_trajectories)
            members = share_members(header.num_trajectories, ranks.rank, ranks.size)
            one = layout == "collective"
            store = (
                CollectiveStore(path, everyone, ranks.comm) if one else own_store(path, everyone)
            )
            begin(store, members)

    def close_all() -> None:
        for advance in advances:
            advance.close()

    try:
        ranks.together(open_all)
        yield advances
    except BaseException as error:
        # agreed errors find every rank here; after any other, the others may not take part
        if ranks.size == 1 or isinstance(error, HpcbenchError):
            with suppress(OSError, RuntimeError):  # what broke the work may break the closing too
                close_all()
            ranks.gather(None)  # nobody goes on while another still holds its files
        raise
    ranks.together(told_as(PartlyDone, _how_to_resume(path))(close_all))


def _run(
    spec: DatasetSpec[Any],
    system: System,
    path: Path,
    advances: list[Advance],
    ranks: Ranks,
    known: Extended | None,
) -> int:
    """Advance the members of all ranks, in rounds, and return the steps taken by this rank."""
    pieces = (
        piece for advance in advances for piece in advance_members(spec, system, advance, known)
    )
    rounds = max(ranks.gather(sum(num_pieces(spec, advance, known) for advance in advances)))
    total = sum(num_steps_of(spec, advance, known) for advance in advances)
    description = f"{spec.system}: {spec.sampling.num_trajectories} trajectories"

    @told_as(PartlyDone, _how_to_resume(path))
    def next_piece() -> int:
        return next(pieces, 0)

    with progress(total, description, enabled=ranks.is_first) as show:
        for _ in range(rounds):
            if num_steps := ranks.together(next_piece):
                show(num_steps)
    return total


def _finish(path: Path, header: Header) -> None:
    with told_as(PartlyDone, _how_to_resume(path)):
        extents = read_hdf5(path, lambda file: read_extents(file, path, header))
        finish(path, header, [extent.path for extent in extents])


def _how_to_resume(path: Path) -> str:
    return (
        f"{path}: not finished, what was written is kept; repeat the command with --resume once "
        "this is repaired"
    )
