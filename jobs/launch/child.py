"""A child process with its output read as it comes, stopped in order, never left behind."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from hpcbench.console import message
from hpcbench.errors import EnvironmentLacks, InputError

TAIL_LINES = 25
"""Lines of output that an error message shows."""

GRACE_SECONDS = 30.0
"""Time that interrupted ranks get to write a checkpoint, unless the caller says otherwise."""

KILL_SECONDS = 5.0
"""Time that the system gets to remove killed processes."""

RULE = "-" * 74
"""What Open MPI puts above and below its own notices."""

LONGEST_NOTICE = 15


class Child:
    """A started command (possibly a launcher of ranks), its output and its log."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        cores: Sequence[int] | None,
        log: Path | None,
        quiet: bool,
        folder: Path | None,
        launches_here: bool,
    ) -> None:
        self._launches_here = launches_here
        self._passes_signals_on = Path(command[0]).name == "srun"
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._output: list[str] = []
        self._notice_lines = 0
        self._show = (lambda line: None) if quiet else message
        self._log = _open_log(log)
        # Its own session: Ctrl-C reaches this process alone, which then stops the ranks in order.
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentLacks(f"{command[0]}: does not start: {error.strerror}") from None
        if cores:
            with suppress(OSError):
                os.sched_setaffinity(self._process.pid, cores)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, use), daemon=True)
            for stream, use in (
                (self._process.stdout, self._take_output),
                (self._process.stderr, self._take_error),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[bytes], use: Callable[[str], None]) -> None:
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip("\r\n")
                if self._log is not None:
                    self._log.write(line + "\n")
                    self._log.flush()
                use(line)

    def _take_output(self, line: str) -> None:
        self._output.append(line)
        self._lines.append(line)

    def _take_error(self, line: str) -> None:
        """Keep and show a line, unless it belongs to a launcher's notice on a failed rank."""
        if line == RULE:
            self._notice_lines = 0 if self._notice_lines else LONGEST_NOTICE
        elif self._notice_lines:
            self._notice_lines -= 1
        else:
            self._lines.append(line)
            self._show(line)

    def wait(self, deadline: float | None, stop: threading.Event | None, grace: float) -> bool:
        """Return whether the job ended in time; read its output to the end."""
        while self._process.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                return False
            if stop is not None and stop.is_set():
                self.interrupt(grace)
                return True
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        self._finish_reading()
        return True

    def interrupt(self, grace: float) -> None:
        """Ask every rank to save its work and stop; wait ``grace`` seconds for that."""
        ranks = [process for process in self._descendants() if not process.children()]
        if self._launches_here and ranks:
            for process in ranks:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGTERM)
            self._wait(grace)
            return
        # Ranks elsewhere: srun passes this signal on to them, and ends them on SIGTERM.
        if self._passes_signals_on:
            self._process.send_signal(signal.SIGUSR2)
            self._wait(grace)
            grace = KILL_SECONDS
        self._process.terminate()
        self._wait(grace)

    def _wait(self, seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def kill(self) -> None:
        """End whatever of the job still runs."""
        if self._process.poll() is None:
            ranks = self._descendants()
            for process in ranks:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.kill()
            self._process.wait()
            deadline = time.monotonic() + KILL_SECONDS
            while any(map(_runs, ranks)) and time.monotonic() < deadline:
                time.sleep(0.02)
        self._finish_reading()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _finish_reading(self) -> None:
        for reader in self._readers:
            reader.join(5)

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    @property
    def exit_code(self) -> int:
        return int(self._process.returncode)

    @property
    def output(self) -> str:
        return "".join(f"{line}\n" for line in self._output)

    @property
    def tail(self) -> str:
        return "\n".join(self._lines)


def _runs(process: psutil.Process) -> bool:
    """Tell whether a process still runs; a zombie that nobody has reaped yet does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _open_log(log: Path | None) -> IO[str] | None:
    if log is None:
        return None
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("a")
    except OSError as error:
        raise InputError(f"{log}: cannot be written: {error.strerror}") from None
