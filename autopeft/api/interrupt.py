"""Ctrl-C and SIGTERM: the first asks the run to stop in order, the second stops it at once."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_SECONDS = 0.01


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; `exit_code` is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(signal.Signals(number).name)


class Interrupt:
    """Turns signals into `Interrupted`, raised by `check`; puts the old handlers back.

    Outside the main thread, where signals cannot be handled, it does nothing.

    Python drops what is raised while it runs a destructor or the callback of a weak reference, and
    a training runs thousands of them. An `Interrupted` that was dropped is raised again.

    Attributes:
        orderly: whether there is something to stop in order. Until then, as long as the data is
            read, even the first signal stops the run at once.
    """

    def __init__(self) -> None:
        self.orderly = False
        self._received: int | None = None
        self._before: dict[int, Any] = {}
        self._hook = sys.unraisablehook
        self._timer: threading.Timer | None = None

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self._received is not None:
            raise Interrupted(self._received)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
            self._hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._before:
            return
        sys.unraisablehook = self._hook
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        at_once = self._received is not None or not self.orderly
        self._received = number
        if at_once:
            raise Interrupted(number)

    def _dropped(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Send a dropped signal again, from another thread: in this one it would be dropped too."""
        if isinstance(unraisable.exc_value, Interrupted):
            number = unraisable.exc_value.exit_code - 128
            main = threading.main_thread().ident
            assert main is not None
            self._timer = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, number))
            self._timer.daemon = True
            self._timer.start()
        else:
            self._hook(unraisable)
