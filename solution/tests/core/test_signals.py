"""Signals that come while C code calls back take effect afterwards, once, and with whatever handler there was."""

from __future__ import annotations

import signal
import threading

import pytest

from solution.core.signals import STOPPING, held_in

MARKS = []


def callback(number: int) -> None:
    signal.raise_signal(number)
    MARKS.append("callback done")


def elsewhere(number: int) -> None:
    signal.raise_signal(number)
    MARKS.append("elsewhere done")


@pytest.fixture(params=STOPPING)
def number(request):
    """A signal with a handler of its own that ends what runs."""

    def stop(number: int, _: object) -> None:
        for one in STOPPING:
            signal.signal(one, signal.SIG_IGN)  # as the command line has it: one signal is enough
        raise InterruptedError(number)

    before = {one: signal.signal(one, stop) for one in STOPPING}
    MARKS.clear()
    yield request.param
    for one, handler in before.items():
        signal.signal(one, handler)


def test_a_signal_in_a_callback_waits_for_its_release(number):
    with held_in({callback.__code__}) as release:
        callback(number)
        assert MARKS == ["callback done"]
        with pytest.raises(InterruptedError):
            release()


def test_or_for_the_end_of_the_block(number):
    with pytest.raises(InterruptedError), held_in({callback.__code__}):
        callback(number)
        callback(number)
        MARKS.append("block done")
    assert MARKS == ["callback done", "callback done", "block done"]
    signal.raise_signal(number)  # what the handler put in its place stays


def test_a_signal_elsewhere_comes_at_once(number):
    with pytest.raises(InterruptedError), held_in({callback.__code__}):
        elsewhere(number)
    assert MARKS == []


def test_without_signals_all_is_as_it_was(number):
    handlers = [signal.getsignal(one) for one in STOPPING]
    with held_in({callback.__code__}):
        assert [signal.getsignal(one) for one in STOPPING] != handlers
    assert [signal.getsignal(one) for one in STOPPING] == handlers


def test_other_threads_hold_nothing():
    def work() -> None:
        with held_in({callback.__code__}) as release:
            seen.append(signal.getsignal(signal.SIGINT))
            release()

    seen = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
