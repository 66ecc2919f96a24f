"""Threads that wait for work."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from lookahead_ref.backends.numba import threads
from lookahead_ref.backends.numba.threads import Helpers, Threads
from lookahead_ref.stepping.backend import load
from support import done_in_a_fork, in_threads, needs_fork

COST = 10**9
"""Of a part: so much that each has a thread."""


def done_by(helpers: Helpers, work: Any, given: Any) -> list[Any]:
    """What they put into a queue, in no order."""
    done = SimpleQueue[Any]()
    helpers.start([(lambda each: done.put(work(each)), (each,)) for each in given])
    return [done.get(timeout=60) for _ in given]


def running() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("lookahead-ref")}


def test_threads_end_with_the_object_but_finish_their_work() -> None:
    before = running()
    helpers, go, done = Helpers(3), threading.Event(), SimpleQueue[tuple[int, Any]]()
    begun = running() - before
    assert len(begun) == 3

    def work(number: int) -> None:
        go.wait(60)
        done.put((number, threading.current_thread()))

    for number in range(6):
        helpers.start([(work, (number,))])
    del helpers
    gc.collect()
    go.set()
    found = dict(done.get(timeout=60) for _ in range(6))
    assert sorted(found) == list(range(6))
    assert set(found.values()) <= begun
    for each in begun:
        each.join(60)
        assert not each.is_alive()


def test_a_thread_that_waits_keeps_nothing_that_it_was_given() -> None:
    helpers, gone, array = Helpers(1), threading.Event(), np.ones(3)
    weakref.finalize(array, gone.set)
    helpers.start([(np.sum, (array,))])
    del array
    assert gone.wait(60)


@pytest.mark.skipif(threads._CORE is None, reason="the system does not tell cores")
def test_each_thread_stays_on_its_core_and_work_goes_to_other_cores_than_the_caller_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    helpers = Helpers(len(cores) - 1, cores)
    others = [core for core in cores[1:] or cores for _ in range(3)]
    monkeypatch.setattr(threads, "_CORE", lambda: cores[0] if cores[1:] else -1)
    found = done_by(helpers, lambda _: os.sched_getaffinity(0), others)
    assert sorted(found, key=min) == [{core} for core in others]


def test_a_caller_on_a_core_of_no_thread_is_helped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_CORE", lambda: 10**6)
    helpers = Helpers(1, [0, 10**5])  # one that there is not
    assert sorted(done_by(helpers, abs, range(4))) == [0, 1, 2, 3]


@pytest.mark.parametrize(("count", "pinned"), [(None, True), (10**4, False)])
def test_threads_stay_on_cores_only_if_there_is_one_for_each(
    count: int | None, pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, Any]] = []
    monkeypatch.setattr(threads, "Helpers", lambda *args: asked.append(args))
    made = Threads(count)
    made.share(lambda *_: None, 1, COST)
    assert not asked  # none is started before it is wanted
    assert made.helpers is None
    ((helpers, cores),) = asked
    assert helpers == made.count - 1
    assert len(cores) == (made.count if pinned else 0)


def test_there_is_a_thread_for_each_usable_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert Threads(None).count == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert Threads(None).count == 7


def test_their_number_can_be_chosen() -> None:
    assert Threads(2).count == 2
    wrong = {0: ValueError, -1: ValueError, 1.5: TypeError, True: TypeError, "2": TypeError}
    for bad, error in wrong.items():
        with pytest.raises(error, match="threads must be a positive integer, got"):
            load("numba", threads=bad)


@pytest.mark.parametrize(("cost", "parts"), [(1, 1), (50_000, 2), (COST, 3)])
def test_work_is_cut_into_as_many_parts_as_it_is_worth(cost: int, parts: int) -> None:
    done: list[tuple[int, int]] = []
    Threads(3).share(lambda *part: done.append(part), 6, cost)
    assert len(done) == parts
    assert sorted(n for part in done for n in range(*part)) == list(range(6))


def test_an_error_in_a_part_is_raised_when_all_parts_are_done() -> None:
    done: list[int] = []

    def work(start: int, stop: int) -> None:
        if start == 0:
            raise ArithmeticError("part 0")
        done.append(start)

    with pytest.raises(ArithmeticError, match="part 0"):
        Threads(3).share(work, 30, COST)
    assert sorted(done) == [10, 20]


def test_an_interrupted_caller_waits_for_no_helper() -> None:
    begun, held = threading.Event(), threading.Event()

    def work(start: int, stop: int) -> None:
        if threading.current_thread() is threading.main_thread():
            begun.wait()
            raise KeyboardInterrupt
        begun.set()
        held.wait()  # for a lock that the interruption left, as of a compiler

    with pytest.raises(KeyboardInterrupt):
        Threads(2).share(work, 2, COST)
    held.set()


@pytest.mark.parametrize("count", [2, 3])
def test_a_part_may_share_work_itself_and_helpers_may_be_kept_from_it(count: int) -> None:
    made, go, done = Threads(count), threading.Event(), list[int]()
    made.start([(go.wait, (60,))] * count)

    def share() -> None:
        made.share(lambda *_: made.share(inner, count, COST), count, COST)

    def inner(start: int, _: int) -> None:
        done.append(start)

    share()
    assert not go.is_set()
    assert sorted(done) == sorted([*range(count)] * count)
    go.set()
    for _ in range(100):  # helpers, too, share what they were given
        share()
    assert len(done) == 101 * count**2


def test_a_part_that_a_slow_helper_has_begun_is_waited_for() -> None:
    taken, caller_is_done, done = threading.Event(), threading.Event(), list[int]()

    def work(start: int, _: int) -> None:
        if threading.current_thread() is threading.main_thread():
            assert taken.wait(60)
            caller_is_done.set()
        else:
            taken.set()
            assert caller_is_done.wait(60)
        done.append(start)

    Threads(2).share(work, 2, COST)
    assert sorted(done) == [0, 1]


ENDING = """
import atexit
from lookahead_ref.backends.numba.threads import Threads

begun, fresh = Threads(3), Threads(3)
begun.share(lambda *_: None, 3, 10**9)


def parts(made):
    done = []
    made.share(lambda start, stop: done.append(start), 3, 10**9)
    return len(done)


class Last:
    def __init__(self):
        self.made = [begun, Threads(3)]

    def __del__(self):
        print([parts(made) for made in self.made], flush=True)


_last = Last()  # what begins so is ended before the rest of a threads
atexit.register(lambda: print([parts(made) for made in (begun, fresh)], flush=True))
"""


def test_work_is_done_to_the_very_end_of_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60
    )
    assert ended.stderr == ""
    # Python does not promise to call __del__ at its end; if it does, that ends, too.
    assert ended.stdout in ("[3, 3]\n", "[3, 3]\n[3, 3]\n")


@pytest.mark.parametrize("missing", ["sched_setaffinity", "sched_getcpu"])
def test_systems_that_know_no_cores_are_never_asked(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: Any) -> Any:
        # As on Windows, where there is no name for the process itself.
        if missing == "sched_setaffinity":
            raise TypeError(f"expected a name, got {name}")
        return object()

    if missing == "sched_setaffinity":
        monkeypatch.delattr(os, missing, raising=False)
    else:
        monkeypatch.setattr(os, "sched_setaffinity", None, raising=False)
    monkeypatch.setattr("ctypes.PyDLL", load)
    monkeypatch.setattr(threads, "_CORE", threads._which_core())
    assert threads._CORE is None
    assert sorted(done_by(Helpers(1, [0, 1]), abs, range(3))) == [0, 1, 2]


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_threads_of_a_forked_child_all_find_helpers_that_run() -> None:
    made, go, done = Threads(3), threading.Event(), list[int]()
    old = made.helpers
    old.start([(go.wait, (60,))] * 9)  # work that waits while the process forks

    def share(_: int) -> None:
        made.share(lambda start, _: done.append(start), 3, COST)

    def in_child() -> None:
        in_threads(share, range(8))
        assert len(done) == 24
        assert made.helpers is not old

    assert done_in_a_fork(in_child, meanwhile=go.set)
    assert made.helpers is old


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the system does not tell cores"
)
def test_the_cores_of_the_caller_and_of_its_children_stay_as_they_are() -> None:
    before = os.sched_getaffinity(0)
    Threads(None).share(lambda *_: None, 100, COST)
    seen: list[set[int]] = []
    thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
    thread.start()
    thread.join()
    assert [os.sched_getaffinity(0), *seen] == [before, before]
    command = "import os; print(sorted(os.sched_getaffinity(0)))"
    child = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert child.stdout == f"{sorted(before)}\n"
