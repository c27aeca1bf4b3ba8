"""One result of a benchmark: a value with its unit and the spread over rounds."""

import statistics
from collections.abc import Sequence
from typing import Any


def measured(
    name: str, rounds: Sequence[float], unit: str, value: float | None = None
) -> dict[str, Any]:
    """Return a result of some rounds: their median, or another ``value`` they stand for."""
    return {
        "name": name,
        "value": statistics.median(rounds) if value is None else value,
        "unit": unit,
        "lowest": min(rounds),
        "highest": max(rounds),
        "n": len(rounds),
    }
