"""Timing of contestants that take turns, so that what slows the machine slows all of them.

A turn is a pause, a call that is not timed, and the calls that are. The pause lets the
threads of the one before fall asleep, some of which spin for a while; the call that is not
timed brings back what they drove out of the caches.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Clock: TypeAlias = Callable[[Callable[[], object]], float]
"""Runs something and says how long it took, in seconds."""


def wall(run: Callable[[], object]) -> float:
    """Measure by the host's clock how long something takes.

    Parameters
    ----------
    run : callable
        Called without arguments.

    Returns
    -------
    float
        Seconds.
    """
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Contestant:
    """Something to be timed.

    Parameters
    ----------
    method : str
        What it is.
    step : callable
        Does one step.
    kind : str
        ``plain``, ``lookahead``, ``limit`` or ``copy``.
    bytes_moved : float
        The bytes that a step must move, by the traffic model.
    steps : int, default: 1
        The steps of a whole cycle: only multiples of it are timed.
    """

    method: str
    step: Callable[[], object]
    kind: str
    bytes_moved: float
    steps: int = 1


def take_turns(
    contestants: Mapping[str, Contestant],
    *,
    repeats: int,
    seconds: float = 0.01,
    pause: float = 0.005,
    clock: Clock = wall,
    before: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Time contestants in turn.

    Parameters
    ----------
    contestants : dict
        Name to contestant.
    repeats : int
        The number of turns of each.
    seconds : float, default: 0.01
        How long a turn is to last at least.
    pause : float, default: 0.005
        The pause before it, in seconds.
    clock : callable, default: `wall`
        What measures it. What runs on a device, the device must time: on the host, a call
        returns before it is done.
    before : callable, optional
        Called before each round of turns.

    Returns
    -------
    dict
        Name to seconds a step, one for each turn.
    """
    counts = {}
    for name, each in contestants.items():
        for _ in range(2 * each.steps):  # what is compiled at first use is, after this
            each.step()
        once = _seconds(each, each.steps, clock)
        counts[name] = each.steps * max(1, round(seconds / max(once, 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        if before is not None:
            before()
        for name, each in contestants.items():
            time.sleep(pause)
            for _ in range(each.steps):
                each.step()
            times[name].append(_seconds(each, counts[name], clock) / counts[name])
    return times


def _seconds(contestant: Contestant, count: int, clock: Clock) -> float:
    step = contestant.step

    def steps() -> None:
        for _ in range(count):
            step()

    return clock(steps)


def ratio(of: list[float], to: list[float]) -> tuple[float, float, float]:
    """Divide two contestants' times, turn by turn.

    Parameters
    ----------
    of, to : list of float
        Seconds a step, one for each turn.

    Returns
    -------
    (float, float, float)
        The median of the ratios and the quartiles.

    Examples
    --------
    >>> ratio([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    (1.0, 0.5, 1.5)
    """
    ratios = [one / other for one, other in zip(of, to, strict=True)]
    if len(ratios) < 3:
        return statistics.median(ratios), min(ratios), max(ratios)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high
