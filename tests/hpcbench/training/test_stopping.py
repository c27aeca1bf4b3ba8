"""Signals are noted while a run goes on, and treated as ever afterwards."""

import os
import signal
import threading

import pytest

from hpcbench.training.stopping import SIGNALS, signals_noted


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_its_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with signals_noted() as stop:
        assert stop.number == 0
        os.kill(os.getpid(), number)
        assert stop.number == number
    assert signal.getsignal(number) is before


def interrupt_twice() -> None:
    with signals_noted():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_ctrl_c_interrupts() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_last_request_counts() -> None:
    with signals_noted() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM


def test_off_the_main_thread_nothing_changes() -> None:
    numbers = []

    def run() -> None:
        with signals_noted() as stop:
            numbers.append(stop.number)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert numbers == [0]
