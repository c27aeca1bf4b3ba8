"""Clocks, times as records write them, and the energy and memory of this process.

Timings are wall-clock seconds from :func:`clock`, a monotonic counter of sub-microsecond
resolution that costs tens of nanoseconds to read.
"""

import datetime
import resource
import time
from pathlib import Path

clock = time.perf_counter

RAPL = Path("/sys/class/powercap")


def now() -> str:
    """Return the time in UTC to the millisecond, in ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Return the seconds from one recorded time to another, None where one is missing."""
    if not begin or not end:
        return None
    parse = datetime.datetime.fromisoformat
    return (parse(end) - parse(begin)).total_seconds()


def peak_memory_bytes() -> int:
    """Return the largest resident memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class EnergyMeter:
    """Energy of this host's CPU packages (RAPL) since the meter was made.

    ``joules()`` is None where the counters do not exist or may not be read. A counter that
    wraps around once between two readings is unwrapped with its published range.
    """

    def __init__(self, root: Path = RAPL) -> None:
        self._packages = sorted(root.glob("intel-rapl:[0-9]")) if root.is_dir() else []
        self._begin = self._read()

    def joules(self) -> float | None:
        """Return joules since the start, summed over packages."""
        now = self._read()
        if not now or self._begin is None:
            return None
        total = 0
        for package, (begin, end) in zip(
            self._packages, zip(self._begin, now, strict=True), strict=True
        ):
            used = end - begin
            if used < 0:
                used += int((package / "max_energy_range_uj").read_text())
            total += used
        return total / 1e6

    def _read(self) -> list[int] | None:
        try:
            return [int((package / "energy_uj").read_text()) for package in self._packages]
        except OSError:
            return None
