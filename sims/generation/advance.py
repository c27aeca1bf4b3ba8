"""The members that one rank advances, block by block, and how they get into their file."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hpcbench.data.store import Store, add_sums, checksums
from hpcbench.data.write_behind import WriteBehind
from hpcbench.errors import InputError
from sims import kernels
from sims.generation.extension import Extended
from sims.generation.spec import DatasetSpec
from sims.systems.system import System

SPIN_UP_PIECES = 20
"""Pieces in which the spin-up is taken, to show progress; the same on any number of ranks."""

BATCH_BYTES = 2**20
"""Size of a block of the members advanced together by a kernel: it stays in the L2 cache."""

LANES = 16
"""The most members that a kernel advances at once."""

WAITING_BYTES = 4 * 2**20
"""Most bytes that wait for being written, unless a single block of a batch is larger."""


@dataclass(frozen=True)
class Advance:
    """Members that this rank advances, and the store they are written to.

    batches
        The members in the order of work: a block of one batch stays in the cache until it is
        written.
    writer
        Writes to the store, in order.
    """

    store: Store
    members: range
    batches: list[range]
    writer: WriteBehind

    @classmethod
    def begin(
        cls, store: Store, members: range, system: System, dtype: str, threaded: bool
    ) -> Self:
        """Return the advance of some members of a system in a store.

        threaded
            Whether a core is free for writing behind.
        """
        row_bytes = len(store.samples(0)) * system.num_components * np.dtype(dtype).itemsize
        size = len(members)
        if store.threads and system.compiled:
            size = min(size, max(1, BATCH_BYTES // (row_bytes * LANES)) * LANES)
        batches = [members[first : first + size] for first in range(0, len(members), size)]
        buffer_bytes = size * row_bytes
        num_buffers = max(2, WAITING_BYTES // buffer_bytes)
        writer = WriteBehind(threaded and store.threads, buffer_bytes, num_buffers)
        return cls(store, members, batches, writer)

    def close(self) -> None:
        """Stop writing and close the store."""
        self.writer.close()
        self.store.close()


def advance_members(
    spec: DatasetSpec[Any], system: System, advance: Advance, known: Extended | None
) -> Iterator[int]:
    """Advance the members to the end, and yield the steps taken by every piece of work.

    A block is marked as finished after a yield: where ranks share a store, which does not write
    behind, the caller makes sure that every rank has written its part.
    """
    store, members, writer = advance.store, advance.members, advance.writer
    if store.progress:
        states, sums = store.resume(members)
    elif known is not None:
        states = known.final_states(members)
        sums = np.zeros((len(members), 2, system.num_components))
    else:
        states = system.initial_states(spec.seed, members)
        sums = np.zeros((len(members), 2, system.num_components))
        for num_steps in _spin_up_pieces(spec):
            system.advance(states, spec.integration.step, num_steps, num_steps)
            check_finite(spec, members, states)
            yield num_steps * len(members)
    for block in range(store.progress, store.num_blocks):
        for batch in advance.batches:
            rows = slice(batch.start - members.start, batch.stop - members.start)
            _advance_block(spec, system, advance, block, batch, states[rows], sums[rows], known)
        check_finite(spec, members, states)
        writer.run(store.write_states, block, members, states.copy(), sums.copy())
        yield _steps_of_block(spec, store, block, known) * len(members)
        writer.run(store.mark, block)
    writer.wait()
    yield 0


def _advance_block(
    spec: DatasetSpec[Any],
    system: System,
    advance: Advance,
    block: int,
    batch: range,
    states: np.ndarray,
    sums: np.ndarray,
    known: Extended | None,
) -> None:
    """Advance a batch of members by a block, and have its samples written.

    states, sums
        Of the batch, changed in place.
    """
    store, every = advance.store, spec.steps_per_sample
    times = store.samples(block)
    shape = (len(batch), len(times), system.num_components)
    samples = advance.writer.buffer(shape, spec.sampling.dtype)
    num_known = _num_known(store, block, known)
    if known is not None:
        known.copy(batch, times.start, samples[:, :num_known])
    elif num_known:
        samples[:, 0] = states
    if num_known < len(times):
        out = samples[:, num_known:]
        system.advance(states, spec.integration.step, out.shape[1] * every, every, out)
    num_training = max(0, spec.split_counts()[0] - batch.start)  # they come first
    # the kernel's own sums differ from the readable ones in nothing but speed
    add = kernels.add_sums if system.compiled else add_sums
    add(sums[:num_training], samples[:num_training])
    advance.writer.run(
        store.write_samples, block, batch, samples, checksums(samples), buffer=samples
    )


def _num_known(store: Store, block: int, known: Extended | None) -> int:
    """Return how many samples of a block, its first, need no step: the initial one, or more."""
    times = store.samples(block)
    return min(max((known.num_samples if known else 1) - times.start, 0), len(times))


def _steps_of_block(
    spec: DatasetSpec[Any], store: Store, block: int, known: Extended | None
) -> int:
    """Return the steps that a member takes to the end of a block."""
    return (len(store.samples(block)) - _num_known(store, block, known)) * spec.steps_per_sample


def _spin_up_pieces(spec: DatasetSpec[Any]) -> list[int]:
    """Return the numbers of steps in which the spin-up is taken."""
    ends = [spec.spin_up_steps * n // SPIN_UP_PIECES for n in range(SPIN_UP_PIECES + 1)]
    return [last - first for first, last in itertools.pairwise(ends) if last > first]


def num_pieces(spec: DatasetSpec[Any], advance: Advance, known: Extended | None) -> int:
    """Return how often :func:`advance_members` yields."""
    spin_up = 0 if advance.store.progress or known else len(_spin_up_pieces(spec))
    return spin_up + advance.store.num_blocks - advance.store.progress + 1


def num_steps_of(spec: DatasetSpec[Any], advance: Advance, known: Extended | None) -> int:
    """Return the steps of single members that :func:`advance_members` takes."""
    store = advance.store
    blocks = range(store.progress, store.num_blocks)
    spin_up = 0 if store.progress or known else spec.spin_up_steps
    steps = sum(_steps_of_block(spec, store, block, known) for block in blocks)
    return len(advance.members) * (spin_up + steps)


def check_finite(spec: DatasetSpec[Any], members: range, states: np.ndarray) -> None:
    """Raise :class:`InputError` naming the first trajectory that is not finite any more."""
    bad = np.flatnonzero(~np.isfinite(states).all(axis=1))
    if bad.size:
        raise InputError(
            f"integration.step: {spec.integration.step} is too large for {spec.system} with "
            f"these parameters: trajectory {members[bad[0]]} grew beyond all numbers; give a "
            "smaller step (and delete the unfinished dataset)"
        )
