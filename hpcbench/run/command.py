"""The command or call that runs, for records: ``hpcbench train …``, or a call from Python."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_COMMAND: ContextVar[tuple[str, ...]] = ContextVar("command", default=())


@contextmanager
def recorded(words: Sequence[str]) -> Iterator[None]:
    """Let :func:`current` return these words while the context lasts."""
    token = _COMMAND.set(tuple(words))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def current() -> list[str]:
    """Return the words of what runs, empty where nobody recorded any."""
    return list(_COMMAND.get())
