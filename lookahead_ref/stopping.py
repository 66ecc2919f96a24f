"""Stopping by signals: the first one takes effect when that is safe."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

# From Ctrl-C, a batch system, or a closed terminal.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass(eq=False)
class Interrupted(KeyboardInterrupt):
    """A signal, by its number, interrupted the work."""

    signal: int


@dataclass(eq=False)
class StoppedError(Exception):
    """A run was asked to stop, and its state was saved."""

    step: int
    """Updates done."""
    signal: int | None = None
    """The number of the signal, if there was one."""

    def __post_init__(self) -> None:
        self.args = tuple(vars(self).values())  # for pickle

    def __str__(self) -> str:
        return f"stopped after {self.step} steps, with the state of the run saved"


class StopRequest:
    """Whether a run was asked to stop, by a signal or otherwise."""

    def __init__(self, asked: Callable[[], bool] = lambda: False) -> None:
        self.signal: int | None = None
        self._asked = asked
        self._at_once = False

    def __call__(self) -> bool:
        """Return whether the run was asked to stop."""
        return self.signal is not None or self._asked()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal end the block at any point, by an exception."""
        self._at_once = True
        try:
            if self.signal is not None:
                raise Interrupted(self.signal)
            yield
        finally:
            self._at_once = False

    def record(self, number: int) -> None:
        """Record a signal, and act on it now if that is allowed."""
        self.signal = number
        if self._at_once:
            raise Interrupted(number)
        if number == signal.SIGINT:
            # Not through a stream or console, which may be in the middle of a write.
            os.write(2, b"\nstopping; Ctrl-C again stops at once\n")


@contextmanager
def stop_requests(asked: Callable[[], bool] = lambda: False) -> Iterator[StopRequest]:
    """Record the first signal that asks the process to end; the second ends it at once."""
    # Ignored signals stay ignored, as under ``nohup``. Only the main thread can handle any.
    request, before = StopRequest(asked), ExitStack()

    def record(number: int, _frame: FrameType | None) -> None:
        before.close()
        request.record(number)

    with before:
        for name in (
            _SIGNALS if threading.current_thread() is threading.main_thread() else ()
        ):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before.callback(signal.signal, number, signal.signal(number, record))
        try:
            yield request
        except StoppedError as error:
            error.signal = request.signal
            raise
