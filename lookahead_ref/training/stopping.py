"""Stopping from outside: the first signal is obeyed when that harms nothing."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

# What asks a process to end: Ctrl-C, a batch system, a terminal that was closed.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(KeyboardInterrupt):
    """A signal, whose number it has, ended what was being done."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class StoppedError(Exception):
    """A run was asked to stop; its state was saved.

    Attributes
    ----------
    step : int
        Updates made.
    signal : int or None
        The signal that asked, where it was one.
    """

    signal: int | None = None

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"stopped after {self.step} steps, with the state of the run saved"


class StopRequest:
    """Whether a run was asked to stop: by a signal, or by whoever else can ask."""

    def __init__(self, asked: Callable[[], bool] = lambda: False) -> None:
        self.signal: int | None = None
        self._asked = asked
        self._at_once = False

    def __call__(self) -> bool:
        """Tell whether it was."""
        return self.signal is not None or self._asked()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal end what the block does, wherever it is, by an exception."""
        self._at_once = True
        try:
            if self.signal is not None:
                raise Interrupted(self.signal)
            yield
        finally:
            self._at_once = False

    def hear(self, number: int) -> None:
        """Take note of a signal, and obey it if this is a good moment."""
        self.signal = number
        if self._at_once:
            raise Interrupted(number)
        if number == signal.SIGINT:
            # Not by a stream or a console: one of them may be in the middle of a write.
            os.write(2, b"\nstopping; Ctrl-C again stops at once\n")


@contextmanager
def stop_requests(asked: Callable[[], bool] = lambda: False) -> Iterator[StopRequest]:
    """Hear the first signal that asks the process to end; the second one acts at once."""
    # Signals that are ignored stay so, as under ``nohup``. Outside the main thread, where
    # none can be handled, none is heard.
    request, before = StopRequest(asked), ExitStack()

    def hear(number: int, _frame: FrameType | None) -> None:
        before.close()
        request.hear(number)

    with before:
        for name in (
            _SIGNALS if threading.current_thread() is threading.main_thread() else ()
        ):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before.callback(signal.signal, number, signal.signal(number, hear))
        try:
            yield request
        except StoppedError as error:
            error.signal = request.signal
            raise
