"""The distance between cores, and that nothing is left behind by who measures it."""

import os
import threading
from typing import Any

import numpy as np
import pytest

from lookahead_ref.bench import cores
from support import in_threads

ONE_CORE = not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2


def test_the_distance_is_known_where_there_are_two_cores_to_choose() -> None:
    assert (cores.latency() is None) == ONE_CORE


@pytest.mark.skipif(
    ONE_CORE, reason="on one core, each turn takes as long as a thread may run"
)
def test_two_threads_count_in_turn_and_one_alone_gives_up() -> None:
    count, answered = np.zeros(1, np.int64), []
    in_threads(lambda first: answered.append(cores._volley(count, first)), (0, 1))
    assert answered == [True, True]
    assert count == 2 * cores._TURNS
    assert not cores._volley(count, count[0])
    assert count == 2 * cores._TURNS + 1


@pytest.mark.skipif(ONE_CORE, reason="needs two cores to choose")
def test_no_thread_is_left_where_the_measurement_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    volley, threads, allowed = cores._volley, threading.enumerate(), os.sched_getaffinity(0)

    def interrupted(count: Any, first: int) -> bool:
        answered = bool(volley(count, first))
        if first == 0:
            raise KeyboardInterrupt
        return answered

    monkeypatch.setattr(cores, "_volley", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cores.latency()
    assert os.sched_getaffinity(0) == allowed
    for thread in set(threading.enumerate()) - set(threads):
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.skipif(ONE_CORE, reason="needs two cores to choose")
@pytest.mark.parametrize("which", [0, 1])
def test_the_distance_is_unknown_where_a_core_was_taken_away(
    monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    choose, allowed = os.sched_setaffinity, os.sched_getaffinity(0)
    gone = {sorted(allowed)[which]}

    def chosen(process: int, places: set[int]) -> None:
        if places == gone:
            raise OSError(22, "Invalid argument")
        choose(process, places)

    monkeypatch.setattr(os, "sched_setaffinity", chosen)
    assert cores.latency() is None
    assert os.sched_getaffinity(0) == allowed
