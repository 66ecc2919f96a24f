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

__all__ = ["PYTORCH_UPDATES", "Race", "Step", "Work", "race", "ratios", "report"]

Step = Callable[[], float]
"""One step of training, forward, backward and update: returns the loss."""

PYTORCH_UPDATES = ("fused", "foreach")
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


def ratios(
    works: Mapping[str, Work], backends: Sequence[str], *, rounds: int = 15
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Compare this library's steps with the faster of PyTorch's.

    Parameters
    ----------
    works : dict
        Name to work, such as `lookahead_ref.experiments.works.WORKS`.
    backends : sequence of str
        Ours, to be measured each.
    rounds : int, default 15
        Number of rounds.

    Returns
    -------
    dict
        Work and backend to our time divided by PyTorch's: the median over rounds and the
        quartiles.
    """
    found = {}
    for name, work in works.items():
        makers: dict[str, Callable[[], Step]] = {
            backend: _Maker(work.ours, backend) for backend in backends
        }
        theirs = {f"PyTorch, {u}": _Maker(work.pytorch, u) for u in PYTORCH_UPDATES}
        measured = race({**makers, **theirs}, steps=work.steps, rounds=rounds)
        for backend in backends:
            found[name, backend] = measured.ratio(backend, list(theirs))
    return found


@dataclass(frozen=True)
class _Maker:
    make: Callable[[str], Step]
    argument: str

    def __call__(self) -> Step:
        return self.make(self.argument)


def report(runs: Sequence[Mapping[tuple[str, str], tuple[float, float, float]]]) -> str:
    """Lay out ratios as a table in Markdown.

    Parameters
    ----------
    runs : sequence of dict
        What `ratios` returned, once or more, of the same works.

    Returns
    -------
    str
        One line for each work and backend, one column for each run.

    Examples
    --------
    >>> print(report([{("mlp", "numpy"): (1.012, 0.998, 1.03)}]))
    | work | backend | run 1 |
    | --- | --- | --- |
    | mlp | numpy | 1.01 (1.00 to 1.03) |
    """
    head = ["work", "backend", *[f"run {number + 1}" for number in range(len(runs))]]
    lines = [head, ["---"] * len(head)]
    for key in runs[0]:
        cells = ["{:.2f} ({:.2f} to {:.2f})".format(*run[key]) for run in runs]
        lines.append([*key, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _main() -> None:
    """Race works three times: ``python -m lookahead_ref.experiments.steps [name ...]``."""
    import sys

    from lookahead_ref.experiments.environment import machine, versions
    from lookahead_ref.experiments.works import WORKS

    works = {name: WORKS[name] for name in sys.argv[1:] or WORKS}
    runs = [ratios(works, ("numpy", "numba")) for _ in range(3)]
    used = {**machine(), **versions("numpy", "numba", "torch")}
    told = ", ".join(f"{name} {value}" for name, value in used.items())
    sys.stdout.write(f"{report(runs)}\n\n{told}.\n")


if __name__ == "__main__":
    _main()
