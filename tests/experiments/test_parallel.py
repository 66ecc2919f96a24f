"""Many tasks: on processes of this machine, and on a Dask cluster."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import worker_tasks
from threadpoolctl import threadpool_limits

from commands import alone
from lookahead_ref.experiments import parallel, trials
from lookahead_ref.experiments.parallel import (
    DaskCluster,
    LocalProcesses,
    LostWorkerError,
    Pool,
    choose_workers,
)
from lookahead_ref.experiments.settings import SweepSettings, TrainSettings
from lookahead_ref.experiments.sweep import plan
from lookahead_ref.report.files import jsonable
from lookahead_ref.stopping import StopRequest
from support import OWN


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A real scheduler and two workers, on loopback."""
    dask, distributed = map(pytest.importorskip, ("dask", "distributed"))
    # The scheduler asks a killed worker for its results for so long.
    quick = dask.config.set({"distributed.comm.timeouts.connect": "5s"})
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with quick, distributed.LocalCluster(**options, silence_logs=50) as made:
        yield made.scheduler_address


CLUSTER = pytest.param("cluster", marks=pytest.mark.slow)  # starting it takes seconds


@pytest.fixture(params=["this process", "two processes", CLUSTER])
def workers(request: pytest.FixtureRequest) -> Pool:
    if request.param == "cluster":
        return DaskCluster(request.getfixturevalue("cluster"))
    return LocalProcesses(1 if request.param == "this process" else 2)


def test_every_task_is_done_once_wherever_it_is_done(workers: Pool) -> None:
    outcomes = list(workers.outcomes(worker_tasks.square, range(6)))
    assert sorted(outcomes) == [(n, n * n) for n in range(6)]


def test_linear_algebra_runs_on_one_thread(
    workers: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All processes of the tests have one; here they may have two, if nobody limits them.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with threadpool_limits(2, "blas"):
        assert list(workers.outcomes(worker_tasks.threads, [0])) == [(0, 1)]


def test_the_error_of_a_task_comes_back(workers: Pool) -> None:
    with pytest.raises(ArithmeticError, match="two is too much"):
        list(workers.outcomes(worker_tasks.fail_at_two, range(4)))


@pytest.mark.parametrize("workers", ["two processes", CLUSTER], indirect=True)
def test_a_killed_worker_costs_its_task_which_is_done_again(
    workers: Pool, tmp_path: Path
) -> None:
    marker = tmp_path / "died"
    tasks = [(number, marker) for number in range(6)]
    outcomes = list(workers.outcomes(worker_tasks.die_once, tasks))
    assert marker.exists()
    assert sorted(outcomes) == [(n, n * n) for n in range(6)]


def test_a_task_that_kills_every_worker_is_lost_and_no_other() -> None:
    outcomes = dict(LocalProcesses(2).outcomes(worker_tasks.die_at_two, range(4)))
    assert isinstance(outcomes.pop(2), LostWorkerError)
    assert outcomes == {0: 0, 1: 1, 3: 9}


def test_the_number_of_jobs_must_be_positive() -> None:
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        LocalProcesses(0)
    with pytest.raises(ValueError, match="jobs must not be given with a scheduler"):
        choose_workers(2, "tcp://127.0.0.1:9")


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "_PATIENCE", 0.1)
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        list(DaskCluster("tcp://127.0.0.1:9").outcomes(worker_tasks.square, [1]))


def test_running_tasks_are_abandoned_when_the_caller_stops() -> None:
    began = time.monotonic()
    outcomes = LocalProcesses(2).outcomes(worker_tasks.sleep, [0, 300, 300])
    assert next(outcomes) == (0, None)
    outcomes.close()
    assert time.monotonic() - began < 60  # not the 300 that the others would sleep


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)


@pytest.mark.parametrize("workers", ["two processes", CLUSTER], indirect=True)
def test_running_tasks_are_asked_to_stop_when_the_caller_stops(
    workers: Pool, tmp_path: Path
) -> None:
    outcomes = workers.outcomes(worker_tasks.wait, [None, tmp_path])
    assert next(outcomes) == (0, None)
    wait_for(tmp_path / "begun")
    outcomes.close()
    wait_for(tmp_path / "stopped")  # in a cluster it comes later


def test_workers_end_with_a_parent_that_is_killed() -> None:
    program = (
        "import worker_tasks\n"
        "from lookahead_ref.experiments.parallel import LocalProcesses\n"
        "if __name__ == '__main__':\n"
        "    list(LocalProcesses(2).outcomes(worker_tasks.kill_the_parent, [0, 1]))\n"
    )
    # The output, which the workers inherit, ends when the last of them has ended.
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(Path(worker_tasks.__file__).parent)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL


def test_a_sweep_of_the_users_own_gives_the_same_wherever_it_is_done(
    workers: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "only_here.py"
    file.write_text(OWN)
    settings = SweepSettings(
        optimizer=(f"lookahead-{file}:Signed",),
        learning_rate=(0.125,),
        k=(2, 3),
        base=TrainSettings(data=f"{file}:halves", batch_size=20, epochs=1),
    )
    planned, said = plan(settings), alone() | {"workers": workers}
    outcomes = trials.run(planned, tmp_path / "trials", **said)
    alike = replace(settings.base, optimizer="lookahead-sgd", learning_rate=0.125)
    for outcome in outcomes:
        same = replace(alike, k=outcome.arm.settings.k)
        (run,) = outcome.runs
        message = trials.measure_training(same, tmp_path / "same", StopRequest())
        shutil.rmtree(tmp_path / "same")
        assert run["history"] == jsonable(message["history"])
