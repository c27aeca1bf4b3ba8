"""Errors a user can cause or repair, each with the exit code of the command that meets it."""

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells report it."""


class HpcbenchError(Exception):
    """A condition reported as one message, without a traceback.

    The message names the file and field, what was given, what is valid and what to do next.
    """

    exit_code = 1


class GateFailed(HpcbenchError):
    """A check or quality gate did not hold (exit code 1)."""

    exit_code = 1


class InputError(HpcbenchError):
    """A file, field or option is wrong (exit code 2)."""

    exit_code = 2


class PartlyDone(HpcbenchError):
    """Some of the work is done and kept; the same command with ``--resume`` continues (3)."""

    exit_code = 3


class EnvironmentLacks(HpcbenchError):
    """The machine lacks something the command needs (exit code 4)."""

    exit_code = 4


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return ``' (did you mean "x"?)'`` for the valid name closest to ``name``, or ``''``."""
    matches = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f' (did you mean "{matches[0]}"?)' if matches else ""


@contextmanager
def told_as(kind: type[HpcbenchError], text: str) -> Iterator[None]:
    """Turn a failure of the file system or of HDF5 into an error with a message of ours."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        found = re.search(r"error message = '([^']*)'", str(error))
        reason = found.group(1) if found else getattr(error, "strerror", None) or str(error)
        raise kind(f"{text} ({reason})") from None
