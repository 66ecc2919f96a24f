"""Each section in a process of its own.

What one section loads, another has in its way: threads of a library that spin while they
wait for work, and an allocator that has seen large arrays and treats the next differently.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from lookahead_ref.bench import place, suite
from lookahead_ref.bench.results import Results
from lookahead_ref.experiments.workers import end_with_the_parent

__all__ = ["run"]

Told = Callable[[str], object]


def run(plan: suite.Plan, only: Sequence[str], backend: str, told: Told) -> Results:
    """Measure.

    Parameters
    ----------
    plan : Plan
        How much.
    only : sequence of str
        The sections.
    backend : str
        What makes the updates.
    told : callable
        Called, in those processes, with what is measured next; it must be picklable.

    Returns
    -------
    Results
        What came out, in the order of the sections.

    Raises
    ------
    Exception
        What `lookahead_ref.bench.suite.run` and `lookahead_ref.bench.place.find` raise.
    """
    found = Results()
    with ProcessPoolExecutor(
        1,
        mp_context=get_context("spawn"),
        initializer=end_with_the_parent,
        max_tasks_per_child=1,
    ) as processes:
        for name in only:
            part = processes.submit(_section, plan, name, backend, told).result()
            found.timings += part.timings
            found.bars += part.bars
            found.left_out |= part.left_out
    return found


def _section(plan: suite.Plan, name: str, backend: str, told: Told) -> Results:
    return suite.run(plan, (name,), told, place.find(backend))
