"""How tests take programs through the suite: in this process, or by the command."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

from commands import Done, called
from lookahead_ref.conformance import Case
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.running import Target, run


def conform(*arguments: str) -> Done:
    return called("conform", *arguments)


def taken(
    target: Target, chosen: Sequence[Case], dtypes: Sequence[str] | None = None
) -> list[Result]:
    """Take cases through an opened target, and close it."""
    with closing(target):
        return run(target, chosen, dtypes=dtypes) if dtypes else run(target, chosen)


def statuses(results: Iterable[Result]) -> set[str]:
    return {result.status for result in results}


def named(explanations: Iterable[Iterable[Any]]) -> set[frozenset[str]]:
    """The causes that each explanation of a diagnosis names."""
    return {frozenset(each.name for each in explanation) for explanation in explanations}
