"""Start a command on several ranks of this machine, from an argument list and never a shell.

The ranks' progress goes on to standard error as it comes, everything is kept in a log, Ctrl-C lets
the ranks write a checkpoint before they stop, and nothing that was started outlives the call.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hpcbench.errors import (
    EnvironmentLacks,
    GateFailed,
    HpcbenchError,
    InputError,
    PartlyDone,
)
from hpcbench.parallel.environment import without_foreign_job
from jobs.launch.child import GRACE_SECONDS, Child
from jobs.launch.mpirun import mpirun_command, rank_environment

__all__ = ["Result", "hpcbench_argv", "mpirun_command", "rank_environment", "run"]

ERROR_OF_EXIT_CODE = {
    error.exit_code: error for error in (GateFailed, InputError, PartlyDone, EnvironmentLacks)
}


@dataclass(frozen=True)
class Result:
    """How a command ended: exit code, wall time, standard output, end of everything it said."""

    exit_code: int
    seconds: float
    output: str
    tail: str
    log: Path | None


def hpcbench_argv(*arguments: str | Path) -> list[str]:
    """Return ``hpcbench ARGUMENTS`` as an argument list of this very interpreter."""
    return [sys.executable, "-P", "-m", "hpcbench.cli", *(str(word) for word in arguments)]


def run(
    num_ranks: int | None,
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    cores: Sequence[int] | None = None,
    quiet: bool = False,
    folder: Path | None = None,
    stop: threading.Event | None = None,
    grace: float = GRACE_SECONDS,
) -> Result:
    """Run a command on ``num_ranks`` ranks of this machine and wait for its end.

    Parameters
    ----------
    num_ranks
        Ranks under mpirun, one included; None starts the command directly.
    argv
        Program and arguments, passed on word by word.
    log
        File that receives standard output and error as they come.
    timeout
        Seconds after which the whole job is killed.
    check
        Raise when the exit code is not 0.
    environment
        Variables laid over this process's and :func:`rank_environment`.
    cores
        Cores the job is confined to; by default all that this process may use.
    quiet
        Do not pass standard error on.
    folder
        Working folder.
    stop
        When set by another thread, the job is asked to stop as by Ctrl-C.
    grace
        Seconds that ranks which were asked to stop get to save their work.

    Raises
    ------
    HpcbenchError
        The command failed (the class follows its exit code) or took too long; the message shows
        the end of its output.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, once the ranks have stopped.
    """
    count = num_ranks or 1
    command = [str(word) for word in argv] if num_ranks is None else mpirun_command(num_ranks, argv)
    settings = rank_environment(count, len(cores) if cores else None)
    begin = time.monotonic()
    variables = {**without_foreign_job(os.environ), **settings, **(environment or {})}
    job = Child(command, variables, cores, log, quiet, folder, num_ranks is not None)
    try:
        with _termination_interrupts():
            finished = job.wait(None if timeout is None else begin + timeout, stop, grace)
    except KeyboardInterrupt:
        job.interrupt(grace)
        raise
    finally:
        job.kill()
    result = Result(job.exit_code, time.monotonic() - begin, job.output, job.tail, log)
    if not finished:
        raise HpcbenchError(_explain(argv, count, f"took longer than {timeout:g} s", result))
    if check and result.exit_code != 0:
        error = ERROR_OF_EXIT_CODE.get(result.exit_code, HpcbenchError)
        raise error(_explain(argv, count, _exit_reason(result.exit_code), result))
    return result


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C, so that no rank is left behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _exit_reason(exit_code: int) -> str:
    number = -exit_code if exit_code < 0 else exit_code - 128
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"ended with exit code {exit_code}"


def _explain(argv: Sequence[str | Path], num_ranks: int, what: str, result: Result) -> str:
    command = " ".join(str(word) for word in argv)
    shown = "\n".join(f"  | {line}" for line in result.tail.splitlines()) or "  | (no output)"
    place = f"\nThe whole output: {result.log}" if result.log else ""
    return f"{command}\non {num_ranks} ranks {what}. The end of its output:\n{shown}{place}"
