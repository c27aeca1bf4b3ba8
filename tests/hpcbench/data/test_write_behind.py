"""Writing behind: in order, the same with and without a thread, nothing after a failure."""

import threading

import numpy as np
import pytest

from hpcbench.data.write_behind import WriteBehind


@pytest.mark.parametrize("threaded", [False, True])
def test_actions_run_in_order_on_their_own_data(threaded: bool) -> None:
    writer = WriteBehind(threaded, buffer_bytes=80, num_buffers=3)
    written: list[np.ndarray] = []
    for number in range(200):
        buffer = writer.buffer((2, 1 + number % 5), np.float64)
        buffer[...] = number
        writer.run(lambda data: written.append(data.copy()), buffer, buffer=buffer)
    writer.wait()
    writer.close()
    assert [data.shape for data in written] == [(2, 1 + number % 5) for number in range(200)]
    assert all((data == number).all() for number, data in enumerate(written))


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_nothing_is_written_after_a_failure(threaded: bool, kind: type[BaseException]) -> None:
    writer = WriteBehind(threaded, buffer_bytes=8, num_buffers=2)
    begun, written = threading.Event(), []

    def fail() -> None:
        begun.wait(10)
        raise kind("no more")

    def ask() -> None:
        writer.run(lambda: written.append(1))
        if not threaded:
            begun.set()
        buffer = writer.buffer((1,), np.float64)
        writer.run(fail, buffer=buffer)
        buffer = writer.buffer((1,), np.float64)
        writer.run(lambda: written.append(2), buffer=buffer)
        begun.set()
        writer.buffer((1,), np.float64)
        writer.run(lambda: written.append(3))
        writer.wait()

    with pytest.raises(kind, match="no more"):
        ask()
    writer.close()
    assert written == [1]


def test_the_caller_goes_on_until_all_buffers_wait() -> None:
    writer = WriteBehind(True, buffer_bytes=8, num_buffers=2)
    go = threading.Event()
    for _ in range(2):
        buffer = writer.buffer((1,), np.float64)
        writer.run(lambda: go.wait(10) and None, buffer=buffer)
    timer = threading.Timer(0.05, go.set)
    timer.start()
    writer.buffer((1,), np.float64)
    assert go.is_set()
    writer.wait()
    writer.close()
    timer.join()
