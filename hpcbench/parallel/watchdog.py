"""A hang gets a diagnosis: a rank that finishes no step for too long writes its stacks and ends.

A rank that waits for others in a collective call would wait forever. The timer runs in a thread
of its own (``faulthandler``), so it works although the interpreter is stuck in compiled code.
"""

import faulthandler
import os
from pathlib import Path
from typing import IO

VARIABLE = "HPCBENCH_HANG_SECONDS"
"""Environment variable with the longest time between two steps; unset or empty: no watchdog."""


class Watchdog:
    """Armed by every finished step.

    Parameters
    ----------
    folder
        Where ``stacks.RANK.txt`` goes.
    rank
        Number of this process.
    seconds
        Longest time between two steps; 0 for no watchdog.
    """

    def __init__(self, folder: Path, rank: int, seconds: float) -> None:
        self.seconds = seconds
        self._file: IO[str] | None = None
        if seconds > 0:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / f"stacks.{rank}.txt").open("w")
            self.step()

    @classmethod
    def from_environment(cls, folder: Path, rank: int) -> "Watchdog":
        """Return the watchdog that :data:`VARIABLE` asks for."""
        return cls(folder, rank, float(os.environ.get(VARIABLE) or 0))

    def step(self) -> None:
        """Start the time again."""
        if self._file is not None:
            faulthandler.dump_traceback_later(self.seconds, exit=True, file=self._file)

    def stop(self) -> None:
        """Disarm."""
        if self._file is not None:
            faulthandler.cancel_dump_traceback_later()
            self._file.close()
            self._file = None
