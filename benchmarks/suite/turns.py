"""Contestants take turns, so that what slows the machine for a while slows all of them.

A turn is a pause, a call that is not timed, and the calls that are. In the pause the
threads of the one before fall asleep, some of which spin for a while; the call that is not
timed brings back what they drove out of the caches.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Contestant(NamedTuple):
    step: Callable[[], object]
    cycle: int = 1
    """Only multiples of so many steps are timed."""


def wall(run: Callable[[], object]) -> float:
    """Measure by the host's clock how many seconds something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def traced(run: Callable[[], object]) -> int:
    """Measure how many bytes of the host's memory Python and NumPy hold at most."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def take_turns(
    contestants: Sequence[Contestant],
    turns: int,
    *,
    seconds: float,
    clock: Callable[[Callable[[], object]], float],
    pause: float = 0.005,
) -> list[list[float]]:
    """Return for each contestant the seconds of a step, one number a turn.

    A turn lasts `seconds` at least.
    """

    def timed(each: Contestant, count: int) -> float:
        def steps() -> None:
            for _ in range(count):
                each.step()

        return clock(steps)

    counts = []
    for each in contestants:
        for _ in range(2 * each.cycle):  # what is compiled at first use is, after this
            each.step()
        once = timed(each, each.cycle)
        counts.append(each.cycle * max(1, round(seconds / max(once, 1e-9))))
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(turns):
        for each, count, found in zip(contestants, counts, times, strict=True):
            time.sleep(pause)
            each.step()
            found.append(timed(each, count) / count)
    return times


def fastest(times: Sequence[list[float]]) -> list[float]:
    return min(times, key=statistics.median)


def samples(values: Sequence[float]) -> dict[str, Any]:
    """Return numbers as asv's own timings do: it takes their median and quartiles."""
    return {"samples": list(values), "number": 1}


def ratios(of: Sequence[float], to: Sequence[float], scale: float = 1.0) -> dict[str, Any]:
    """Divide times turn by turn."""
    return samples([scale * one / other for one, other in zip(of, to, strict=True)])
