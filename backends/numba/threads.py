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
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle, pairwise
from queue import SimpleQueue
from typing import Any

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and what it is called with. It must not raise: nobody would hear of it."""

Queue = SimpleQueue[Call | None]

Work = Callable[[int, int], None]
"""Does a part of a range, from start to stop."""

Share = Callable[[Work, int, int], None]
"""`Threads.share`."""

Ended = SimpleQueue[BaseException | None]

# With less for each thread, handing out work costs more than it saves.
_LEAST = 131072


class Threads:
    """So many threads, the caller's among them; by default one for each core."""

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
        # Threads do not live on in a forked child: it makes its own. Both are set at once,
        # for several threads of a child may come first.
        process, helpers = self._started
        if helpers is None or process != os.getpid():
            cores = _cores()
            pinned = cores if len(cores) == self.count else ()
            helpers = Helpers(self.count - 1, pinned)
            self._started = os.getpid(), helpers
        return helpers

    def start(self, calls: Sequence[Call]) -> None:
        """Have other threads call functions where there are any: not as Python ends."""
        with suppress(RuntimeError):
            self.helpers.start(calls)

    def share(self, work: Work, count: int, cost: int) -> None:
        """Call ``work(start, stop)`` for parts of ``range(count)``, at the same time."""
        # What each of them costs is counted in additions of numbers in the cache.
        least = -(-_LEAST // max(cost, 1))
        parts = min(self.count, count // least)
        if parts < 2:
            work(0, count)
            return
        left = deque(pairwise(count * part // parts for part in range(parts + 1)))
        ended: Ended = SimpleQueue()
        self.start([(_take, (left.pop, work, ended))] * (parts - 1))
        # The caller waits only for parts that somebody has begun, so nothing stands still
        # where helpers are busy, or none can be had, or one calls this itself.
        _take(left.popleft, work, ended)
        errors = [ended.get() for _ in range(parts)]
        for error in errors:
            if error is not None:
                raise error


def _take(next_part: Callable[[], tuple[int, int]], work: Work, ended: Ended) -> None:
    """Do parts until there is none left, and tell of each how it ended."""
    with suppress(IndexError):
        while True:
            part = next_part()
            error = None
            try:
                work(*part)
            except BaseException as raised:
                error = raised
            ended.put(error)


def _cores() -> Sequence[int]:
    # Which cores a process may use, only some systems tell.
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


class Helpers:
    """Threads that end with this object, or with the process."""

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
        del call, work, arguments  # arrays, which a thread that waits would keep


def _which_core() -> Any:
    if not hasattr(os, "sched_setaffinity"):
        return None
    # It holds Python's lock, for to give it away takes longer.
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


_CORE = _which_core()
"""Tells the core that runs the caller; None where the system does not."""
