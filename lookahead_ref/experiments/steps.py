"""Training steps of models, raced against PyTorch's: the same work, on the same cores.

Each contender has a process of its own, with the threads that its libraries choose, since
the waiting threads of one library take time from another's in the same process. The
processes take turns: a round is a few steps of each, and a ratio is one of two medians of
the same round, so that what slows the machine down for a while slows both.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["PYTORCH", "Race", "Step", "Work", "race", "race_work"]

Step = Callable[[], float]
"""One step of training, forward, backward and update: returns the loss."""

PYTORCH: Mapping[str, str] = {"PyTorch, fused": "fused", "PyTorch, foreach": "foreach"}
"""PyTorch's fast implementations of an optimizer; ours is compared with the faster one."""

_SETTLE = 0.05  # seconds in which the threads of the last contender stop waiting for work
_WARM_UP = 2


class Work(Protocol):
    """What is raced; it must be picklable."""

    @property
    def steps(self) -> int:
        """Steps in a round."""

    def ours(self, backend: str) -> Step:
        """Make a step of this library."""

    def pytorch(self, update: str) -> Step:
        """Make a step of PyTorch, with one of its implementations of the update."""


@dataclass(frozen=True)
class Race:
    """Medians of rounds."""

    seconds: Mapping[str, Sequence[float]]
    """Contender to the median time of a step, in seconds, one for each round."""

    def ratio(self, contender: str, others: Sequence[str]) -> tuple[float, float, float]:
        """Compare a contender with the best of others.

        Parameters
        ----------
        contender : str
            Whose time is divided.
        others : sequence of str
            The time of the fastest of these in the same round is what it is divided by.

        Returns
        -------
        median, lower, upper : float
            Over rounds, with the quartiles.

        Examples
        --------
        >>> race = Race({"a": [2.0, 3.0, 4.0], "b": [2.0, 2.0, 2.0], "c": [1.0, 3.0, 4.0]})
        >>> race.ratio("a", ["b", "c"])
        (2.0, 1.5, 2.0)
        """
        found = sorted(
            own / min(rest)
            for own, *rest in zip(
                self.seconds[contender], *[self.seconds[o] for o in others], strict=True
            )
        )
        return (
            statistics.median(found),
            found[(len(found) - 1) // 4],
            found[-1 - (len(found) - 1) // 4],
        )


def race(makers: Mapping[str, Callable[[], Step]], *, steps: int, rounds: int) -> Race:
    """Let contenders take turns.

    Parameters
    ----------
    makers : dict
        Contender to a function that makes its step; picklable.
    steps : int
        Steps that are timed in a round; two more come before them.
    rounds : int
        Number of rounds.

    Returns
    -------
    Race
        What was measured.

    Raises
    ------
    RuntimeError
        If a contender fails; the message is its own.
    """
    # Spawned, not forked: a fork copies the locks of the parent's threads.
    context = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    with ExitStack() as stack:
        ends = {}
        for name, make in makers.items():
            here, there = context.Pipe()
            process = context.Process(target=_contend, args=(there, make), daemon=True)
            process.start()
            there.close()
            ends[name] = stack.enter_context(here)
            stack.callback(process.join)
            stack.callback(_stop, here)
            _receive(name, here)
        for _ in range(rounds):
            for name, end in ends.items():
                end.send(steps)
                seconds[name].append(statistics.median(_receive(name, end)))
    return Race(seconds)


def _contend(end: Any, make: Callable[[], Step]) -> None:
    """Time steps whenever asked to, in a process of its own."""
    try:
        step = make()
        for _ in range(_WARM_UP):
            step()
        end.send([])
        while count := end.recv():
            time.sleep(_SETTLE)
            for _ in range(_WARM_UP):
                step()
            times = []
            for _ in range(count):
                began = time.perf_counter()
                step()
                times.append(time.perf_counter() - began)
            end.send(times)
    except Exception as error:
        end.send(f"{type(error).__name__}: {error}")


def _receive(name: str, end: Any) -> list[float]:
    answer = end.recv()
    if isinstance(answer, str):
        raise RuntimeError(f"{name}: {answer}")
    times: list[float] = answer
    return times


def _stop(end: Any) -> None:
    try:
        end.send(0)
    except OSError:  # it failed before
        return


def race_work(work: Work, backends: Sequence[str], *, rounds: int) -> Race:
    """Let this library's steps of a work take turns with PyTorch's.

    Parameters
    ----------
    work : Work
        The work, such as one of `lookahead_ref.experiments.works.WORKS`.
    backends : sequence of str
        Ours, each of which is a contender by its name.
    rounds : int
        Number of rounds.

    Returns
    -------
    Race
        What was measured, of `backends` and of `PYTORCH`.
    """
    ours = {backend: _Maker(work.ours, backend) for backend in backends}
    theirs = {name: _Maker(work.pytorch, update) for name, update in PYTORCH.items()}
    return race({**ours, **theirs}, steps=work.steps, rounds=rounds)


@dataclass(frozen=True)
class _Maker:
    make: Callable[[str], Step]
    argument: str

    def __call__(self) -> Step:
        return self.make(self.argument)
