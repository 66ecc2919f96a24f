"""Stopping a run from outside: the first signal is noted, the second acts at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

# What asks a process to end: Ctrl-C, a batch system, a terminal that was closed.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class StopRequest:
    """Whether a run was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Tell whether it was."""
        return self.signal is not None


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note the first signal that asks the process to end; the second one acts at once."""
    # Signals that are ignored stay so, as under ``nohup``. Outside the main thread, where
    # none can be handled, none is noted.
    request, before = StopRequest(), ExitStack()

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        before.close()
        if number == signal.SIGINT:
            # Not by a stream or a console: one of them may be in the middle of a write.
            os.write(2, b"\nstopping after this batch; Ctrl-C again stops at once\n")

    with before:
        for name in (
            _SIGNALS if threading.current_thread() is threading.main_thread() else ()
        ):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before.callback(signal.signal, number, signal.signal(number, note))
        yield request
