"""Threads that wait for work which is over in microseconds.

The executors of Python's library make a future for each call, with a condition and two
locks; a step over 100,000 numbers takes no longer than that. Here a call goes through a
queue and leaves nothing behind.
"""

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Work = Callable[..., Any]


class Helpers:
    """Threads that end with this object, or with the process.

    Parameters
    ----------
    count : int
        How many.

    Raises
    ------
    RuntimeError
        If no thread can be started, as while Python shuts down.
    """

    def __init__(self, count: int) -> None:
        self._given: SimpleQueue[tuple[Work, tuple[Any, ...]] | None] = SimpleQueue()
        for number in range(count):
            threading.Thread(
                target=_serve,
                args=(self._given,),
                name=f"lookahead-ref-{number}",
                daemon=True,
            ).start()
            # They hold the queue and not this object, or it would never end. When the
            # process ends they are needed until the last moment.
            weakref.finalize(self, self._given.put, None).atexit = False

    def start(self, work: Work, *arguments: Any) -> None:
        """Have a thread call a function, as soon as one is free.

        Parameters
        ----------
        work : callable
            The function. It must not raise: nobody would hear of it.
        *arguments
            What it is called with.
        """
        self._given.put((work, arguments))


def _serve(given: "SimpleQueue[tuple[Work, tuple[Any, ...]] | None]") -> None:
    while (call := given.get()) is not None:
        work, arguments = call
        work(*arguments)
        del call, work, arguments  # arrays, which a thread that waits would keep
