"""Does many tasks with processes on this machine, a Dask cluster, or ranks of MPI.

If a worker is killed, another does its task again; other tasks are not affected.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeAlias, TypeVar

from lookahead_ref.extras import require
from lookahead_ref.stopping import Interrupted, StoppedError, StopRequest, stop_requests
from lookahead_ref.system import available_cores
from lookahead_ref.training.workers import Team

Task = TypeVar("Task")
Done = TypeVar("Done")
Work: TypeAlias = Callable[[Task, StopRequest], Done]
"""The function that does a task, until it is asked to stop."""

_RETRIES = 3
_PATIENCE = 5.0
"""Seconds within which a scheduler must answer."""
_SECONDS = 60.0
"""A worker that lived longer left a checkpoint, so its death does not count as a try."""


class LostWorkerError(RuntimeError):
    """A task's worker died in every try."""


Outcomes: TypeAlias = Generator[tuple[int, Done | LostWorkerError], None, None]
"""Each task's place and outcome, as they come."""


class Pool(Protocol):
    """Does many tasks at once, each with linear algebra on one thread."""

    def outcomes(self, work: Work[Task, Done], tasks: Sequence[Task]) -> Outcomes[Done]:
        """Yield each task's place and outcome, as they come."""
        # If the caller stops early or a task fails, unfinished tasks are abandoned.


def choose_workers(
    jobs: int | None, scheduler: str | None, team: Team | None = None
) -> Pool:
    """Choose processes on this machine (by default one per core), Dask or MPI ranks."""
    if team is not None and len(team.here) < team.size:
        if (jobs, scheduler) != (None, None):
            raise ValueError(
                f"workers mpi cannot be given with jobs or scheduler, got "
                f"{jobs or scheduler}: all ranks do one run after the other"
            )
        return FirstRank(team)
    if scheduler is None:
        return LocalProcesses(available_cores() if jobs is None else jobs)
    if jobs is not None:
        raise ValueError(
            f"jobs must not be given with a scheduler, got {jobs}: the cluster has its own "
            "number of workers"
        )
    return DaskCluster(scheduler)


class LocalProcesses:
    """Worker processes on this machine; one job runs in this process."""

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs}")
        self._jobs = jobs

    def outcomes(self, work: Work[Task, Done], tasks: Sequence[Task]) -> Outcomes[Done]:
        do = partial(on_one_thread, work)
        if self._jobs == 1:
            yield from enumerate(map(do, tasks))
            return
        others = set(multiprocessing.active_children())
        try:
            yield from _in_processes(do, tasks, min(self._jobs, len(tasks)))
        except BaseException:
            _stop(set(multiprocessing.active_children()) - others)
            raise


class FirstRank:
    """MPI's rank 0, which does tasks one by one, with all ranks as Lookahead's workers."""

    def __init__(self, team: Team) -> None:
        self._team = team

    def outcomes(self, work: Work[Any, Done], tasks: Sequence[Any]) -> Outcomes[Done]:
        for place, task in enumerate(tasks):
            if task.settings.workers > 1:
                task = replace(self._team.broadcast(task), team=self._team)
            outcome = on_one_thread(work, task)
            try:
                yield place, outcome
            except GeneratorExit:
                self._team.broadcast(None)
                raise
        self._team.broadcast(None)


class DaskCluster:
    """Workers of a running Dask cluster, by its scheduler's address."""

    def __init__(self, address: str) -> None:
        self._distributed = require(
            "distributed", "cluster", purpose="use the workers of a Dask cluster"
        )
        self._address = address

    def outcomes(self, work: Work[Task, Done], tasks: Sequence[Task]) -> Outcomes[Done]:
        distributed = self._distributed
        try:
            client = distributed.Client(
                self._address, timeout=_PATIENCE, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise ConnectionError(
                f"scheduler must be the address of a Dask scheduler that answers, got "
                f"{self._address!r}: {error}"
            ) from error
        with client:
            places = {
                # Not pure: the same task may be sent to the same cluster again.
                client.submit(_on_cluster, work, task, pure=False): place
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


def _stop(workers: set[BaseProcess]) -> None:
    """Let workers save their work; kill those that take more than a minute."""
    try:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(_SECONDS)
    finally:
        for worker in workers:
            worker.kill()


def _in_processes(
    work: Callable[[Task], Done], tasks: Sequence[Task], jobs: int
) -> Outcomes[Done]:
    # A pool breaks if one of its processes dies, so each process has its own pool.
    waiting = deque(range(len(tasks)))
    tries: Counter[int] = Counter()
    under_way: dict[Future[Done], tuple[ProcessPoolExecutor, int, float]] = {}

    def begin(worker: ProcessPoolExecutor) -> None:
        place = waiting.popleft()
        tries[place] += 1
        began = time.monotonic()
        under_way[worker.submit(work, tasks[place])] = worker, place, began

    try:
        for _ in range(jobs):
            begin(_worker())
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                worker, place, began = under_way.pop(future)
                finished: list[tuple[int, Done | LostWorkerError]] = []
                try:
                    finished.append((place, future.result()))
                except (StoppedError, Interrupted):
                    # Only this worker was stopped: the task continues.
                    tries[place] = 0
                    waiting.append(place)
                except BrokenProcessPool:
                    worker.shutdown(wait=False)
                    worker = _worker()
                    if time.monotonic() - began > _SECONDS:
                        tries[place] = 0
                    if tries[place] > _RETRIES:
                        finished.append((place, _lost()))
                    else:
                        waiting.append(place)
                # Before the yield, as the caller may be slow.
                if waiting:
                    begin(worker)
                else:
                    worker.shutdown(wait=False)
                yield from finished
    finally:
        for worker, _, _ in under_way.values():
            worker.shutdown(wait=False, cancel_futures=True)


def _worker() -> ProcessPoolExecutor:
    # Spawned, not forked: a fork copies the locks of the parent's threads.
    return ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_live_with_the_parent,
    )


def _lost() -> LostWorkerError:
    return LostWorkerError(f"the worker died in all {_RETRIES + 1} tries")


def _on_cluster(work: Work[Task, Done], task: Task) -> Done:
    import distributed

    worker = distributed.get_worker()
    key = worker.get_current_task()

    def given_up() -> bool:
        # The future was cancelled, or its command has ended.
        held = worker.state.tasks.get(key)
        return held is None or held.state != "executing"

    return on_one_thread(work, task, given_up)


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra on one thread."""
    purpose = "keep linear algebra on one thread"
    threadpoolctl: Any = require("threadpoolctl", "experiments", purpose)
    limits: AbstractContextManager[Any] = threadpoolctl.threadpool_limits(1, "blas")
    return limits


def on_one_thread(
    work: Work[Task, Done], task: Task, asked: Callable[[], bool] = lambda: False
) -> Done:
    with one_thread(), stop_requests(asked) as request:
        return work(task, request)


def _live_with_the_parent() -> None:
    # Ctrl-C reaches the whole process group, but only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        # A killed parent cannot stop its workers, which would wait for ever.
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
