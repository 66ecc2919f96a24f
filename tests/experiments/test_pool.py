"""Many tasks: on processes of this machine, and on a Dask cluster."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import worker_tasks
from rich.console import Console

from lookahead_ref.experiments import single
from lookahead_ref.experiments.paper.arms import train_one
from lookahead_ref.experiments.pool import (
    DaskCluster,
    LocalProcesses,
    LostWorkerError,
    Workers,
    in_order,
)
from lookahead_ref.experiments.sweep import Grid, sweep
from lookahead_ref.report.files import jsonable

TESTS = Path(worker_tasks.__file__).parent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real scheduler and two workers, on loopback."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("dask")
    told = folder / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore"}

    def start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    options = ("--host", "127.0.0.1", "--no-dashboard")
    started = [
        start("dask_scheduler", *options, "--port", "0", "--scheduler-file", str(told))
    ]
    for _ in range(2):
        worker = ("dask_worker", "--scheduler-file", str(told), "--nthreads", "1")
        started.append(start(*worker, *options, "--local-directory", str(folder)))
    try:
        for _ in range(600):
            if told.exists() and told.read_text().strip():
                break
            time.sleep(0.05)
        yield str(json.loads(told.read_text())["address"])
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


@pytest.fixture(params=["this process", "two processes", "cluster"])
def workers(request: pytest.FixtureRequest) -> Workers:
    if request.param == "cluster":
        return DaskCluster(request.getfixturevalue("cluster"))
    return LocalProcesses(1 if request.param == "this process" else 2)


def test_every_task_is_done_once_wherever_it_is_done(workers: Workers) -> None:
    outcomes = list(workers.outcomes(worker_tasks.square, range(6)))
    assert sorted(outcomes) == [(n, n * n) for n in range(6)]


def test_linear_algebra_runs_on_one_thread(workers: Workers) -> None:
    assert list(workers.outcomes(worker_tasks.threads, [0])) == [(0, 1)]


def test_the_error_of_a_task_comes_back(workers: Workers) -> None:
    with pytest.raises(ArithmeticError, match="two is too much"):
        list(workers.outcomes(worker_tasks.fail_at_two, range(4)))


@pytest.mark.parametrize("where", ["two processes", "cluster"])
def test_a_killed_worker_costs_its_task_which_is_done_again(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    workers: Workers = LocalProcesses(2)
    if where == "cluster":
        workers = DaskCluster(request.getfixturevalue("cluster"))
    marker = tmp_path / "died"
    tasks = [(number, marker) for number in range(6)]
    outcomes = list(workers.outcomes(worker_tasks.die_once, tasks))
    assert marker.exists()
    assert sorted(outcomes) == [(n, n * n) for n in range(6)]


def test_a_task_that_kills_every_worker_is_lost_and_no_other() -> None:
    outcomes = dict(LocalProcesses(2).outcomes(worker_tasks.die_at_two, range(4)))
    assert isinstance(outcomes.pop(2), LostWorkerError)
    assert outcomes == {0: 0, 1: 1, 3: 9}


def test_results_in_order_wait_for_those_before_them(tmp_path: Path) -> None:
    tasks = [(number, tmp_path / "died") for number in (3, 1, 2)]
    assert list(in_order(worker_tasks.die_once, tasks, jobs=2)) == [9, 1, 4]


def test_a_task_lost_in_order_is_an_error() -> None:
    with pytest.raises(LostWorkerError, match="each of the 4 times"):
        list(in_order(worker_tasks.die_at_two, [2, 1], jobs=2))


def test_the_number_of_jobs_must_be_positive() -> None:
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        LocalProcesses(0)


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        list(DaskCluster("tcp://127.0.0.1:9").outcomes(abs, [1]))


def test_tasks_under_way_are_given_up_where_the_caller_stops() -> None:
    began = time.monotonic()
    outcomes = LocalProcesses(2).outcomes(time.sleep, [0, 300, 300])
    assert next(outcomes) == (0, None)
    outcomes.close()  # type: ignore[attr-defined]  # a generator
    assert time.monotonic() - began < 60


def test_workers_end_with_a_parent_that_is_killed() -> None:
    program = (
        "import worker_tasks; from lookahead_ref.experiments.pool import LocalProcesses\n"
        "if __name__ == '__main__':\n"
        "    list(LocalProcesses(2).outcomes(worker_tasks.kill_the_parent, [0, 1]))\n"
    )
    # The output, which the workers inherit, ends when the last of them has ended.
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL


OWN = """
import lookahead_ref as la
from lookahead_ref.data import load_digits

class Scaled(la.SGD):
    pass

class Data:
    def __init__(self):
        self.digits = load_digits()

    def __getattr__(self, name):
        if name == "digits":
            raise AttributeError(name)
        return getattr(self.digits, name)
"""


def test_a_sweep_of_the_users_own_gives_the_same_wherever_it_is_done(
    workers: Workers, tmp_path: Path
) -> None:
    file = tmp_path / "only_here.py"
    file.write_text(OWN)
    base = single.Settings(
        optimizer=f"lookahead-{file}:Scaled",
        learning_rate=0.125,
        data=f"{file}:Data",
        epochs=1,
    )
    console = Console(file=io.StringIO())
    made = sweep(
        Grid(base, {"k": [2, 3]}), tmp_path, workers=workers, command="", console=console
    )
    for outcome in made.outcomes:
        k = outcome.arm.settings.k
        same = replace(base, optimizer="lookahead-sgd", data="digits", k=k)
        (run,) = outcome.runs
        ((_, told),) = LocalProcesses(1).outcomes(train_one, [same])
        assert run["history"] == jsonable(told["history"])  # type: ignore[index]
