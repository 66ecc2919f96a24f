"""What to measure of the benchmarks where only is asked whether they run."""

from dataclasses import replace

from lookahead_ref.bench.suite import Plan

TINY = Plan(
    large="1000",
    beyond="2000",
    largest="2000",
    trees=("tiny",),
    sizes=(1000.0, 2000.0),
    repeats=2,
    close=2,
    turn=1e-4,
)

TINY_DEVICE = replace(TINY, beyond="1000", largest="1000", wrapped=1.0, copied=0.85)
"""On a device, all but the growth is measured at one size."""
