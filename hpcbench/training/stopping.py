"""Stopping in order: signals are noted, and the ranks act on them when they next agree.

A rank that acted at once would leave the others waiting in a collective call, and half a record.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C, and what schedulers send."""


class StopRequest:
    """The signal that asked to stop.

    Attributes
    ----------
    number
        The signal's number; 0 as long as none came.
    """

    def __init__(self) -> None:
        self.number = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take a signal; raise KeyboardInterrupt for Ctrl-C when one was noted already."""
        # A scheduler may send the same request twice; an impatient user presses Ctrl-C twice.
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


@contextmanager
def signals_noted() -> Iterator[StopRequest]:
    """Note :data:`SIGNALS` meanwhile, and give their handlers back at the end.

    Off the main thread, where Python handles no signals, nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            # None stands for a handler that was not installed from Python
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
