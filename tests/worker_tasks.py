"""What the tests let worker processes do: they must find it in a module."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.stopping import StopRequest


def square(number: int, _request: StopRequest) -> int:
    return number * number


def die_once(task: tuple[int, Path], _request: StopRequest) -> int:
    """Square a number; the first that is asked for 3 kills its process."""
    number, marker = task
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_at_two(number: int, _request: StopRequest) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def fail_at_two(number: int, _request: StopRequest) -> int:
    if number == 2:
        raise ArithmeticError("two is too much")
    time.sleep(0.01)
    return number


def threads(_: int, _request: StopRequest) -> int:
    """The most threads that linear algebra may use here."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return max(x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas")


def record(settings: TrainSettings, *_: object) -> dict[str, int]:
    """Square the seed, and note in the file that is called data that it was done."""
    with Path(settings.data).open("a") as file:
        file.write(f"{settings.seed}\n")
    return {"square": settings.seed**2}


def record_and_die_at_two(settings: TrainSettings, *_: object) -> dict[str, int]:
    if settings.seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return record(settings)


def kill_the_parent(_: int, _request: StopRequest) -> None:
    """Kill the process that waits for this one; if this one is then left, it stays so."""
    os.kill(os.getppid(), signal.SIGKILL)


def sleep(seconds: float, request: StopRequest) -> None:
    with request.interrupting():
        time.sleep(seconds)


def wait(folder: Path | None, request: StopRequest) -> None:
    """Make a file, and another when asked to stop; without a folder do nothing."""
    if folder is not None:
        (folder / "begun").touch()
        while not request():
            time.sleep(0.01)
        (folder / "stopped").touch()
