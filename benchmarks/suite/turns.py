"""Contestants take turns, so that a slow phase of the machine affects all of them.

A turn is a pause, an untimed call, and timed calls. During the pause the previous
contestant's threads fall asleep, some of which spin for a while; the untimed call fills the
caches again.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Contestant(NamedTuple):
    step: Callable[[], object]
    cycle: int = 1
    """Only multiples of this number of steps are timed."""


def wall(run: Callable[[], object]) -> float:
    """Measure the seconds of something by the host's clock."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def traced(run: Callable[[], object]) -> int:
    """Measure the peak bytes of Python and NumPy in host memory."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def of_device(run: Callable[[], object]) -> float:
    """Measure the seconds of something on CuPy's current stream, by the device's clock."""
    import cupy

    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    run()
    stop.record()
    stop.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, stop)) / 1000


def pooled(run: Callable[[], object]) -> int:
    """Measure the peak bytes of CuPy on the current device."""
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.total_bytes()
    run()
    # The pool keeps freed memory and grows only if that is not enough, so its final size is
    # the peak.
    return int(pool.total_bytes() - before)


def take_turns(
    contestants: Sequence[Contestant],
    turns: int,
    *,
    seconds: float,
    clock: Callable[[Callable[[], object]], float],
    pause: float = 0.005,
) -> list[list[float]]:
    """Return each contestant's seconds per step, a number for each turn.

    A turn lasts at least `seconds`.
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
    """Return numbers like asv's own timings, so that it computes median and quartiles."""
    return {"samples": list(values), "number": 1}


def ratios(of: Sequence[float], to: Sequence[float], scale: float = 1.0) -> dict[str, Any]:
    """Divide times turn by turn."""
    return samples([scale * one / other for one, other in zip(of, to, strict=True)])
