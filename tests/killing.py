"""Runs that are killed: a program that imports once, then forks a process for each of them.

It reads a JSON object a line and answers each with how the process ended. ``folder`` is
where the run lives: it is begun there, or continued. ``seconds`` is after how much time of
the processor it is killed, and ``point`` the number of the change to the disk before which
it is to kill itself; ``limit`` is the size in bytes that no file can exceed, and ``nobody``
has it run without privileges. With ``trials``, the name of an experiment, it does a plan of
its trials there instead, with a checkpoint after each batch.
"""

import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Self

# A run that goes on imports them; here it is done before, once for all that are forked.
import jsonschema  # noqa: F401
import safetensors.numpy  # noqa: F401

from commands import alone
from lookahead_ref.experiments import resume, train, trials
from lookahead_ref.experiments.paper import fig10
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.training import checkpoints

TOYS = Path(__file__).with_name("toys.py")
SETTINGS = TrainSettings(
    model=f"{TOYS}:normalised",
    data=f"{TOYS}:clouds",
    optimizer="lookahead-adam",
    learning_rate=0.05,
    k=3,
    inner_state="interpolate",
    schedule="cosine",
    clip=1.0,
    seed=5,
)


DISK = {os: ("fsync", "truncate"), Path: ("replace", "rename", "unlink", "open")}
"""What changes the disk."""


def kill_before(point: int, owners: Any = DISK, how: int = signal.SIGKILL) -> None:
    """Have this process send itself a signal before the call of this number."""
    numbers = itertools.count(1)

    def watch(call: Any) -> Any:
        def watched(*arguments: Any, **options: Any) -> Any:
            if next(numbers) == point:
                os.kill(os.getpid(), how)
            return call(*arguments, **options)

        return watched

    for owner, names in owners.items():
        for name in names:
            setattr(owner, name, watch(getattr(owner, name)))


@cache
def prepared(epochs: int, batch_size: int) -> train.Prepared:
    """Prepare the run, once."""
    return train.prepare(replace(SETTINGS, epochs=epochs, batch_size=batch_size))


def quiet(_text: str) -> None:
    """Hear a note and forget it."""


def run(
    folder: Path, ready: train.Prepared, note: Callable[[str], None] = quiet, **options: Any
) -> None:
    """Do the run, or go on with it."""
    if (folder / "run.json").exists():
        going = resume.continued(folder, note, resume.own_code(ready.settings))
    else:
        going = resume.begin(folder, ready.settings, note, **options)
    with going as begun:
        assert begun.settings == ready.settings
        train.run(ready, begun)


def run_trials(folder: Path, name: str) -> None:
    """Do, or go on with, the trials of a plan."""
    checkpoints._SECONDS = 0.0
    folder.mkdir(exist_ok=True)
    settings = replace(SETTINGS, epochs=2, batch_size=10)
    measure: Any = {"fig10": fig10.measure, "training": trials.measure_training}[name]
    plan = trials.Plan((trials.Arm("it", settings),), [0, 1], measure=measure)
    trials.run(plan, folder, **alone())


def forked(order: dict[str, Any]) -> dict[str, Any]:
    """Do a run in a new process and return how it ended."""
    if "trials" not in order:
        ready = prepared(order["epochs"], order["batch_size"])
        kept = {"checkpoint_every": order["every"], "keep": 2}
    if order.get("nobody"):
        # Import everything now, as the libraries may be unreadable later.
        with tempfile.TemporaryDirectory() as name:
            for _ in range(2):
                run(Path(name) / "run", ready, **kept)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _restrict(order)
            if "trials" in order:
                run_trials(Path(order["folder"]), order["trials"])
            else:
                run(Path(order["folder"]), ready, **kept)
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
            if not isinstance(error, OSError):
                traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    _, status, used = os.wait4(child, 0)
    with os.fdopen(reading) as message:
        error = message.read()
    seconds = used.ru_utime + used.ru_stime
    return {"killed": os.WIFSIGNALED(status), "error": error, "seconds": seconds}


def _restrict(order: dict[str, Any]) -> None:
    if order.get("seconds"):
        # Nobody handles this signal, so that it ends the process. Unlike a clock, the time
        # of the processor does not depend on what else the machine does.
        signal.setitimer(signal.ITIMER_PROF, order["seconds"])
    if order.get("point"):
        kill_before(order["point"])
    if order.get("limit"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    if order.get("nobody") and os.geteuid() == 0:  # whom nothing is forbidden
        os.setuid(65534)


class Program:
    """This program, running. A context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A process with threads cannot be forked safely.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    def __call__(self, folder: Path, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), **order}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def complete(program: Program, folder: Path, **order: Any) -> float:
    """Begin a run or go on with it, to its end; return the seconds that it computed."""
    ended = program(folder, **order)
    assert (ended["killed"], ended["error"]) == (False, "")
    return float(ended["seconds"])


def assert_ends_as_undisturbed(
    program: Program, folder: Path, left: Callable[[Path], Any], least: int, **order: Any
) -> None:
    """Compare what is left by runs that are killed at random moments, so often in all."""
    complete(program, folder / "first", **order)  # it is slower
    whole = complete(program, folder / "undisturbed", **order)
    expected = left(folder / "undisturbed")
    rng = random.Random(1)
    kills = runs = 0
    while kills < least:
        killed = folder / f"run{runs}"
        for _ in range(4):  # A start can take longer than the time that a run is given.
            kills += program(killed, seconds=rng.uniform(0, 0.7) * whole, **order)["killed"]
        complete(program, killed, **order)
        assert left(killed) == expected
        runs += 1
    assert runs < kills  # that some were killed more than once


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)  # noqa: T201
