"""Threads that wait for work which is over in microseconds.

The executors of Python's library make a future for each call, with a condition and two
locks; a step over 100,000 numbers takes no longer than that. Here a call goes through a
queue and leaves nothing behind.

Where there is a thread for each core, each stays on its own, and work goes to those on
other cores than the caller's. Left to the system, a thread that is woken may be put on the
caller's own core, and then the two take turns. Under a hypervisor this is common: a core
that sleeps looks as if it were taken away, and is not chosen.
"""

import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from queue import SimpleQueue
from typing import Any

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and what it is called with. It must not raise: nobody would hear of it."""

Queue = SimpleQueue[Call | None]

Share = Callable[[Callable[[int, int], None], int, int], None]
"""``share(work, count, least)`` calls ``work(start, stop)`` for the parts of a range, none
smaller than `least`, on threads."""


class Helpers:
    """Threads that end with this object, or with the process.

    Parameters
    ----------
    count : int
        How many, where nothing is said of cores.
    cores : sequence of int
        The cores to have one thread each, for a caller on any of them.

    Raises
    ------
    RuntimeError
        If no thread can be started, as while Python shuts down.
    """

    def __init__(self, count: int, cores: Sequence[int] = ()) -> None:
        # Python 3.11 would start one, and wait for ever until it runs.
        if sys.is_finalizing():
            raise RuntimeError("no thread can be started while Python shuts down")
        places: list[int | None] = [*cores] if cores and _CORE else [None] * count
        self._queues: list[Queue] = [SimpleQueue() for _ in places]
        self._beside = {
            core: [queue for queue in self._queues if queue is not own]
            for core, own in zip(places, self._queues, strict=True)
            if core is not None
        }
        for place, queue in zip(places, self._queues, strict=True):
            threading.Thread(
                target=_serve,
                args=(queue, place),
                name=f"lookahead-ref-{place}",
                daemon=True,
            ).start()
            # They hold the queue and not this object, or it would never end. When the
            # process ends they are needed until the last moment.
            weakref.finalize(self, queue.put, None).atexit = False

    def start(self, calls: Sequence[Call]) -> None:
        """Have other threads call functions, as soon as they are free.

        Parameters
        ----------
        calls : sequence of Call
            The functions, each for another thread while there are enough of them.

        Raises
        ------
        RuntimeError
            While Python shuts down: threads end then wherever they are.
        """
        if sys.is_finalizing():
            raise RuntimeError("no thread is left while Python shuts down")
        queues = self._queues
        if self._beside:
            queues = self._beside.get(_CORE(), queues)
        for call, queue in zip(calls, cycle(queues), strict=False):
            queue.put(call)


def _serve(queue: Queue, core: int | None) -> None:
    if core is not None:
        with suppress(OSError):  # it was taken away from the process
            os.sched_setaffinity(0, {core})
    while (call := queue.get()) is not None:
        work, arguments = call
        work(*arguments)
        del call, work, arguments  # arrays, which a thread that waits would keep


def _which_core() -> Any:
    if not hasattr(os, "sched_setaffinity"):
        return None
    # It holds Python's lock, for to give it away takes longer.
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


_CORE = _which_core()
"""Tells the core that runs the caller; None where the system does not."""
