"""Threads that wait for work."""

import gc
import threading
import time
import weakref
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from lookahead_ref.backends import numba as numba_backend
from lookahead_ref.backends._helpers import Helpers


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("lookahead-ref")}


def test_work_is_done_by_other_threads() -> None:
    helpers, done = Helpers(2), SimpleQueue[tuple[str, int]]()
    for number in range(10):
        helpers.start(lambda n: done.put((threading.current_thread().name, n)), number)
    found = [done.get(timeout=60) for _ in range(10)]
    assert sorted(number for _, number in found) == list(range(10))
    assert threading.current_thread().name not in {name for name, _ in found}


def test_threads_end_with_the_object_but_not_before_what_they_were_given_is_done() -> None:
    before = threads()
    helpers, go, done = Helpers(3), threading.Event(), SimpleQueue[int]()
    begun = threads() - before
    assert len(begun) == 3
    for number in range(6):
        helpers.start(lambda n: (go.wait(60), done.put(n)), number)
    del helpers
    gc.collect()
    go.set()
    assert sorted(done.get(timeout=60) for _ in range(6)) == list(range(6))
    for each in begun:
        each.join(60)
        assert not each.is_alive()


def test_a_thread_that_waits_keeps_nothing_that_it_was_given() -> None:
    helpers, done = Helpers(1), SimpleQueue[int]()
    array: Any = np.ones(3)
    kept = weakref.ref(array)
    helpers.start(lambda a: done.put(a.size), array)
    assert done.get(timeout=60) == 3
    del array
    deadline = time.monotonic() + 10
    while kept() is not None and time.monotonic() < deadline:
        time.sleep(0.001)  # the thread is about to let go of it
    assert kept() is None


def test_an_error_in_a_part_is_raised_when_all_parts_are_done() -> None:
    made = numba_backend.NumbaBackend(threads=3)
    done: list[int] = []

    def work(start: int, stop: int) -> None:
        if start == 0:
            raise ArithmeticError("part 0")
        done.append(start)

    with pytest.raises(ArithmeticError, match="part 0"):
        made._share(work, 30)
    assert sorted(done) == [10, 20]
