"""Threads for work that takes microseconds.

The executors of Python's library make a future for each call, with a condition and two
locks, which takes as long as a step over 100,000 numbers. Here a call only goes through a
queue.

If there is a thread for each core, each stays on its core, and work goes to threads on
other cores than the caller's. Otherwise the system may wake a thread on the caller's own
core, and the two take turns. This is common under a hypervisor, where a sleeping core looks
unavailable.
"""

import ctypes
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle, pairwise
from queue import SimpleQueue
from typing import Any

QueuedCall = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments. It must not raise, as nobody would notice."""

Queue = SimpleQueue[QueuedCall | None]

Work = Callable[..., None]
"""Does a part of a range, from start to stop, its first arguments."""

Share = Callable[..., None]
"""`Threads.share`."""

Ended = SimpleQueue[BaseException | None]

# With less work for each thread, sharing costs more than it saves.
_LEAST = 131072


class Threads:
    """A number of threads including the caller's, by default one for each core."""

    def __init__(self, count: int | None) -> None:
        if isinstance(count, bool) or not isinstance(count, int | None):
            raise TypeError(f"threads must be a positive integer, got {count!r}")
        if count is not None and count < 1:
            raise ValueError(f"threads must be a positive integer, got {count!r}")
        self.count = len(_cores()) if count is None else count
        self._started: tuple[int, Helpers | None] = os.getpid(), None

    @property
    def helpers(self) -> "Helpers":
        """The threads beside the caller's."""
        # A forked child has no threads and makes its own. Both are set at once, as several
        # of its threads may come first.
        process, helpers = self._started
        if helpers is None or process != os.getpid():
            cores = _cores()
            pinned = cores if len(cores) == self.count else ()
            helpers = Helpers(self.count - 1, pinned)
            self._started = os.getpid(), helpers
        return helpers

    def start(self, calls: Sequence[QueuedCall]) -> None:
        """Have other threads call functions, if there are any, as not during shutdown."""
        with suppress(RuntimeError):
            self.helpers.start(calls)

    def share(self, work: Work, count: int, cost: int, *given: Any) -> None:
        """Call ``work(start, stop, *given)`` for parts of ``range(count)``, at once."""
        # Their cost is counted in additions of numbers in the cache.
        least = -(-_LEAST // max(cost, 1))
        parts = min(self.count, count // least)
        if parts < 2:
            work(0, count, *given)
            return
        left = deque(pairwise(count * part // parts for part in range(parts + 1)))
        ended: Ended = SimpleQueue()
        self.start([(_take, (left.pop, ended, work, *given))] * (parts - 1))
        # The caller waits only for parts that have begun, so that it does not block if
        # helpers are busy, or missing, or one of them calls this itself.
        _take(left.popleft, ended, work, *given)
        errors = []
        for _ in range(parts):
            errors.append(ended.get())
            if isinstance(errors[-1], KeyboardInterrupt):
                # A helper may wait for a lock of the compiler that a signal left held.
                raise errors[-1]
        for error in errors:
            if error is not None:
                raise error


def _take(
    next_part: Callable[[], tuple[int, int]], ended: Ended, work: Work, *given: Any
) -> None:
    """Do parts until none is left, and report how each ended."""
    with suppress(IndexError):
        while True:
            part = next_part()
            error = None
            try:
                work(*part, *given)
            except BaseException as raised:
                error = raised
            ended.put(error)


def _cores() -> Sequence[int]:
    # Only some systems know which cores a process may use.
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


class Helpers:
    """Threads that end with this object, or with the process."""

    def __init__(self, count: int, cores: Sequence[int] = ()) -> None:
        # Python 3.11 would wait for ever for a new thread.
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
            # They refer to the queue, not to this object, which could never end otherwise.
            # At the end of the process they are needed until the last moment.
            weakref.finalize(self, queue.put, None).atexit = False

    def start(self, calls: Sequence[QueuedCall]) -> None:
        """Have other threads call functions, as soon as they are free."""
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
        del call, work, arguments  # a waiting thread would keep arrays


def _which_core() -> Any:
    if not hasattr(os, "sched_setaffinity"):
        return None
    # Keeps Python's lock, as releasing it takes longer.
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


_CORE = _which_core()
"""Returns the caller's core; None if the system cannot."""
