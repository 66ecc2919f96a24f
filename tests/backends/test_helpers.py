"""Threads that wait for work."""

import gc
import os
import threading
import time
import weakref
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from lookahead_ref.backends import _helpers
from lookahead_ref.backends import numba as numba_backend
from lookahead_ref.backends._helpers import Helpers


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("lookahead-ref")}


def test_work_is_done_by_other_threads() -> None:
    helpers, done = Helpers(2), SimpleQueue[tuple[str, int]]()
    for number in range(10):
        helpers.start(
            [(lambda n: done.put((threading.current_thread().name, n)), (number,))]
        )
    found = [done.get(timeout=60) for _ in range(10)]
    assert sorted(number for _, number in found) == list(range(10))
    assert threading.current_thread().name not in {name for name, _ in found}


def test_threads_end_with_the_object_but_not_before_what_they_were_given_is_done() -> None:
    before = threads()
    helpers, go, done = Helpers(3), threading.Event(), SimpleQueue[int]()
    begun = threads() - before
    assert len(begun) == 3
    for number in range(6):
        helpers.start([(lambda n: (go.wait(60), done.put(n)), (number,))])
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
    helpers.start([(lambda a: done.put(a.size), (array,))])
    assert done.get(timeout=60) == 3
    del array
    deadline = time.monotonic() + 10
    while kept() is not None and time.monotonic() < deadline:
        time.sleep(0.001)  # the thread is about to let go of it
    assert kept() is None


@pytest.mark.skipif(_helpers._CORE is None, reason="the system does not tell cores")
def test_each_thread_stays_on_its_core_and_work_goes_to_other_cores_than_the_caller_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    helpers, done = Helpers(len(cores) - 1, cores), SimpleQueue[set[int]]()
    others = [core for core in cores[1:] or cores for _ in range(3)]
    monkeypatch.setattr(_helpers, "_CORE", lambda: cores[0] if cores[1:] else -1)
    helpers.start([(lambda: done.put(os.sched_getaffinity(0)), ())] * len(others))
    found = [done.get(timeout=60) for _ in others]
    assert sorted(found, key=min) == [{core} for core in others]


def test_a_caller_on_a_core_without_a_thread_is_helped_by_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_helpers, "_CORE", lambda: 10**6)
    helpers, done = Helpers(1, [0, 10**5]), SimpleQueue[int]()  # one that there is not
    helpers.start([(done.put, (number,)) for number in range(4)])
    assert sorted(done.get(timeout=60) for _ in range(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("threads", "pinned"), [(None, True), (10**4, False)])
def test_threads_stay_on_cores_only_where_there_is_one_for_each(
    threads: int | None, pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = numba_backend.NumbaBackend(threads=threads)
    asked: list[tuple[int, Any]] = []
    monkeypatch.setattr(numba_backend, "Helpers", lambda *args: asked.append(args))
    assert made._helpers is None
    (count, cores), *_ = asked
    assert count == made._threads - 1
    assert len(cores) == (made._threads if pinned else 0)


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
