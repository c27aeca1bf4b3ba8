"""Writing behind the back of a computation: in order, from a few buffers, on another thread."""

import queue
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np


class WriteBehind:
    """Runs actions one after another while the caller goes on, and lends buffers for their data.

    After an action has failed none of the later ones runs, and its error is raised by the next
    call here: what was written is always a beginning of what was asked for.

    threaded
        Whether to run them on a thread; otherwise an action has ended when :meth:`run` returns.
    buffer_bytes
        Size of a buffer.
    num_buffers
        The most buffers in use at a time.
    """

    def __init__(self, threaded: bool, buffer_bytes: int, num_buffers: int) -> None:
        self._thread = ThreadPoolExecutor(1) if threaded else None
        self._last: Future[None] | None = None
        # the last one given back is lent first: it may still be in the cache
        self._free: queue.LifoQueue[np.ndarray] = queue.LifoQueue()
        self._bytes, self._not_made = buffer_bytes, num_buffers

    def buffer(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return a buffer of this shape, once one is free; :meth:`run` is to give it back."""
        self._raise_early()
        try:
            memory = self._free.get(block=self._not_made == 0)
        except queue.Empty:
            self._not_made -= 1
            memory = np.empty(self._bytes, np.uint8)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return memory[:size].view(dtype).reshape(shape)

    def run(
        self, action: Callable[..., None], *arguments: Any, buffer: np.ndarray | None = None
    ) -> None:
        """Run an action after those before it, and give back the buffer it uses."""
        if self._thread is None:
            self._do(None, action, arguments, buffer)
        else:
            self._raise_early()
            self._last = self._thread.submit(self._do, self._last, action, arguments, buffer)

    def wait(self) -> None:
        """Wait for all actions."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """Wait for the action under way; those after it do not run."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _raise_early(self) -> None:
        if self._last is not None and self._last.done():
            self._last.result()

    def _do(
        self,
        before: Future[None] | None,
        action: Callable[..., None],
        arguments: tuple[Any, ...],
        buffer: np.ndarray | None,
    ) -> None:
        try:
            if before is not None:
                before.result()
            action(*arguments)
        finally:
            if buffer is not None:
                self._free.put(_memory(buffer))


def _memory(buffer: np.ndarray) -> np.ndarray:
    """Return the whole memory that a buffer is the beginning of."""
    while isinstance(buffer.base, np.ndarray):
        buffer = buffer.base
    return buffer
