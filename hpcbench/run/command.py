"""The command or call that a record names: what was really run, not the host program's words.

The command line records itself. A Python session records the call:

    with recorded(["python", "hpcbench.train('spec.toml')"]):
        ...
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_WORDS: ContextVar[tuple[str, ...]] = ContextVar("command", default=())


@contextmanager
def recorded(words: Sequence[str]) -> Iterator[None]:
    """Let records that are written meanwhile name this command, a list of words."""
    token = _WORDS.set(tuple(words))
    try:
        yield
    finally:
        _WORDS.reset(token)


def current() -> list[str]:
    """Return the words of the command that runs, empty where none was recorded."""
    return list(_WORDS.get())
