"""Times as records write them, and the seconds between two."""

import datetime


def now() -> str:
    """Return the time in UTC to the millisecond, in ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Return the seconds from one recorded time to another, None where one is missing."""
    if not begin or not end:
        return None
    parse = datetime.datetime.fromisoformat
    return (parse(end) - parse(begin)).total_seconds()
