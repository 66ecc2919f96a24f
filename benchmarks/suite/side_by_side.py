"""Two ways to do the same, timed in turns, so that what slows one down slows the other."""

import statistics
import time


def ratios(ours, theirs, repetitions):
    """Time `ours` and `theirs`, one after the other; return the ratio of each turn."""
    found = []
    for _ in range(repetitions):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        found.append((middle - start) / (time.perf_counter() - middle))
    return found


def summary(found):
    """Return the median and the quartiles."""
    low, middle, high = statistics.quantiles(found, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
