"""Many short training runs on the cores of this machine."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from lookahead_ref.extras import require

__all__ = ["available_cores", "in_order"]

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[Task], Outcome], tasks: Sequence[Task], *, jobs: int
) -> Iterator[Outcome]:
    """Apply a function to each task, in worker processes if there is more than one job.

    Linear algebra runs on one thread in each, so that the number of jobs does not change
    a result.

    Parameters
    ----------
    function : callable
        Defined in a module, for workers must find it there.
    tasks : sequence
        What to call it with; must be picklable.
    jobs : int
        Number of processes; with 1 everything happens in this one.

    Yields
    ------
    object
        The results, in the order of the tasks, each as soon as those before it are there.
        Where the caller stops early, or a task fails, those under way are given up.

    Raises
    ------
    ValueError
        If `jobs` is not positive.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    on_one_thread = partial(_on_one_thread, function)
    if jobs == 1:
        yield from map(on_one_thread, tasks)
        return
    # Spawned, not forked: a fork copies the locks of the parent's threads.
    executor = ProcessPoolExecutor(
        min(jobs, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_ignore_interrupts,
    )
    others = set(multiprocessing.active_children())
    try:
        yield from executor.map(on_one_thread, tasks)
    except BaseException:
        # Nobody waits for what the workers are at, which may take minutes.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _on_one_thread(function: Callable[[Task], Outcome], task: Task) -> Outcome:
    threadpoolctl = require(
        "threadpoolctl", "experiments", purpose="keep linear algebra on one thread"
    )
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        return function(task)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
