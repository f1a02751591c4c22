"""Ctrl-C once asks, twice ends; handlers are put back."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import weakref

import pytest

from autopeft.api.interrupt import Interrupt, Interrupted

SIGNALS = pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@SIGNALS
def test_first_signal_is_raised_where_the_run_checks(sent: signal.Signals, code: int) -> None:
    with Interrupt() as interrupt:
        interrupt.orderly = True
        interrupt.check()
        os.kill(os.getpid(), sent)
        with pytest.raises(Interrupted, match=sent.name) as caught:
            interrupt.check()
    assert caught.value.exit_code == code
    assert isinstance(caught.value, KeyboardInterrupt)


@SIGNALS
def test_second_signal_is_raised_at_once(sent: signal.Signals, code: int) -> None:
    with Interrupt() as interrupt, pytest.raises(Interrupted) as caught:
        interrupt.orderly = True
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), sent)
        pytest.fail("went on")
    assert caught.value.exit_code == code


@SIGNALS
def test_with_nothing_to_stop_in_order_the_first_is_raised_at_once(
    sent: signal.Signals, code: int
) -> None:
    with Interrupt(), pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), sent)
        pytest.fail("went on")
    assert caught.value.exit_code == code


@SIGNALS
def test_what_python_drops_is_raised_again(sent: signal.Signals, code: int) -> None:
    class Freed:
        pass

    thing, dropped = Freed(), 0

    def callback(gone: object) -> None:
        nonlocal dropped
        dropped += 1
        os.kill(os.getpid(), sent)

    kept = weakref.ref(thing, callback)
    with Interrupt(), pytest.raises(Interrupted) as caught:
        del thing
        time.sleep(60)
        pytest.fail("went on")
    assert kept() is None
    assert dropped == 1
    assert caught.value.exit_code == code


@pytest.mark.parametrize("failing", [False, True])
def test_handlers_are_put_back(failing: bool) -> None:
    hook = sys.unraisablehook
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with Interrupt():
            inside = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            if failing:
                raise KeyError
    except KeyError:
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert inside != before
    assert sys.unraisablehook == hook


def test_outside_the_main_thread_it_does_nothing() -> None:
    faults: list[BaseException] = []

    def work() -> None:
        try:
            with Interrupt() as interrupt:
                interrupt.check()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert faults == []
