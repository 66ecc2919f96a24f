"""Many training runs, on the cores of this machine or on a Dask cluster.

A run is a function of a task, both of which a worker process can be sent. A worker that is
killed costs the task that it was at, which another one then does; never those of others.
"""

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Protocol, TypeVar

from lookahead_ref.extras import require

__all__ = [
    "DaskCluster",
    "LocalProcesses",
    "LostWorkerError",
    "Workers",
    "available_cores",
    "end_with_the_parent",
    "in_order",
    "workers",
]

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

_RETRIES = 3


class LostWorkerError(RuntimeError):
    """A task whose worker died each time that it was tried."""


class Workers(Protocol):
    """What runs many tasks at once."""

    def outcomes(
        self, function: Callable[[Task], Outcome], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Outcome | LostWorkerError]]:
        """Apply a function to each task.

        Linear algebra runs on one thread, so that where a task runs, and beside which
        others, changes no result.

        Parameters
        ----------
        function : callable
            Defined in a module, for workers must find it there.
        tasks : sequence
            What to call it with; must be picklable.

        Yields
        ------
        tuple of int and object
            The place of a task and its result, as they come. Where the caller stops
            early, or a task fails, those under way are given up.
        """


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalProcesses:
    """Worker processes on this machine.

    Parameters
    ----------
    jobs : int
        Their number; with 1 everything happens in this process.

    Raises
    ------
    ValueError
        If `jobs` is not positive.

    Examples
    --------
    >>> list(LocalProcesses(1).outcomes(abs, [-1, 2]))
    [(0, 1), (1, 2)]
    """

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs}")
        self._jobs = jobs

    def outcomes(
        self, function: Callable[[Task], Outcome], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Outcome | LostWorkerError]]:
        """Apply a function to each task; see `Workers`."""
        on_one_thread = partial(_on_one_thread, function)
        if self._jobs == 1:
            yield from enumerate(map(on_one_thread, tasks))
            return
        others = set(multiprocessing.active_children())
        try:
            yield from _in_processes(on_one_thread, tasks, min(self._jobs, len(tasks)))
        except BaseException:
            # Nobody waits for what the workers are at, which may take minutes.
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise


class DaskCluster:
    """Workers of a Dask cluster, which is started outside of this library.

    Parameters
    ----------
    address : str
        Of its scheduler, as ``tcp://127.0.0.1:8786``.

    Raises
    ------
    lookahead_ref.extras.MissingExtraError
        If Dask distributed is not installed.
    """

    def __init__(self, address: str) -> None:
        self._distributed = require(
            "distributed", "cluster", purpose="use the workers of a Dask cluster"
        )
        self._address = address

    def outcomes(
        self, function: Callable[[Task], Outcome], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Outcome | LostWorkerError]]:
        """Apply a function to each task; see `Workers`.

        Raises
        ------
        ConnectionError
            If no scheduler answers at the address.
        """
        distributed = self._distributed
        try:
            client = distributed.Client(self._address, timeout=5, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConnectionError(
                f"scheduler must be the address of a Dask scheduler that answers, got "
                f"{self._address!r}: {error}"
            ) from error
        with client:
            places = {
                # Not pure: the same task may be asked of the same cluster once more.
                client.submit(_on_one_thread, function, task, pure=False): place
                for place, task in enumerate(tasks)
            }
            try:
                for future in distributed.as_completed(list(places), loop=client.loop):
                    try:
                        yield places[future], future.result()
                    except distributed.KilledWorker:
                        yield places[future], _lost()
            finally:
                client.cancel(list(places))


def workers(jobs: int | None, scheduler: str | None) -> Workers:
    """Choose who does the tasks.

    Parameters
    ----------
    jobs : int or None
        Processes on this machine; as many as cores if None.
    scheduler : str or None
        The address of a Dask scheduler, whose workers do it instead.

    Returns
    -------
    Workers
        Them.

    Raises
    ------
    ValueError
        If both are given, or `jobs` is not positive.
    """
    if scheduler is None:
        return LocalProcesses(available_cores() if jobs is None else jobs)
    if jobs is not None:
        raise ValueError(
            f"jobs must not be given with a scheduler, got {jobs}: its workers are as many "
            "as were started"
        )
    return DaskCluster(scheduler)


def in_order(
    function: Callable[[Task], Outcome], tasks: Sequence[Task], *, jobs: int
) -> Iterator[Outcome]:
    """Apply a function to each task, in worker processes if there is more than one job.

    Parameters
    ----------
    function, tasks
        As for `Workers.outcomes`.
    jobs : int
        As for `LocalProcesses`.

    Yields
    ------
    object
        The results, in the order of the tasks, each as soon as those before it are there.

    Raises
    ------
    LostWorkerError
        If the worker of a task died each time.
    ValueError
        If `jobs` is not positive.
    """
    early: dict[int, Outcome] = {}
    following = 0
    for place, outcome in LocalProcesses(jobs).outcomes(function, tasks):
        if isinstance(outcome, LostWorkerError):
            raise outcome
        early[place] = outcome
        while following in early:
            yield early.pop(following)
            following += 1


def _in_processes(
    function: Callable[[Task], Outcome], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[int, Outcome | LostWorkerError]]:
    # A pool is broken as a whole where one of its processes dies: one process a pool.
    waiting = deque(range(len(tasks)))
    tries: Counter[int] = Counter()
    under_way: dict[Future[Outcome], tuple[ProcessPoolExecutor, int]] = {}

    def begin(worker: ProcessPoolExecutor) -> None:
        place = waiting.popleft()
        tries[place] += 1
        under_way[worker.submit(function, tasks[place])] = worker, place

    try:
        for _ in range(jobs):
            begin(_worker())
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                worker, place = under_way.pop(future)
                finished: list[tuple[int, Outcome | LostWorkerError]] = []
                try:
                    finished.append((place, future.result()))
                except BrokenProcessPool:
                    worker.shutdown(wait=False)
                    worker = _worker()
                    if tries[place] > _RETRIES:
                        finished.append((place, _lost()))
                    else:
                        waiting.append(place)
                # Before the yield: the caller may take its time.
                if waiting:
                    begin(worker)
                else:
                    worker.shutdown(wait=False)
                yield from finished
    finally:
        for worker, _ in under_way.values():
            worker.shutdown(wait=False, cancel_futures=True)


def _worker() -> ProcessPoolExecutor:
    # Spawned, not forked: a fork copies the locks of the parent's threads.
    return ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_live_with_the_parent,
    )


def _lost() -> LostWorkerError:
    return LostWorkerError(f"the worker died each of the {_RETRIES + 1} times")


def _on_one_thread(function: Callable[[Task], Outcome], task: Task) -> Outcome:
    threadpoolctl = require(
        "threadpoolctl", "experiments", purpose="keep linear algebra on one thread"
    )
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        return function(task)


def _live_with_the_parent() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_the_parent()


def end_with_the_parent() -> None:
    """Have this process, which another one started, end when that one does.

    A parent that is killed tells nobody: its workers would finish their task, and then wait
    for another for ever.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
