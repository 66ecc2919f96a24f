"""Which documented conventions a program follows, and whether it does so throughout."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lookahead_ref.conformance.catalogue import by_name
from lookahead_ref.conformance.runner import Result

__all__ = ["Convention", "followed"]

REFERENCE = "reference"


@dataclass(frozen=True)
class Convention:
    """What a program does where programs differ.

    Parameters
    ----------
    names : tuple of str
        The outcomes that all cases allow: several where none of them tells them apart, none
        where the program does one thing here and another there.
    cases : dict
        Outcome to the number of checks that follow it.
    """

    names: tuple[str, ...]
    cases: dict[str, int]


def followed(results: Iterable[Result]) -> list[Convention]:
    """Find the conventions that the checks which passed show.

    Parameters
    ----------
    results : iterable of Result
        What came of the cases that were run.

    Returns
    -------
    list of Convention
        One for each place where programs differ, but for those where this one is as the
        reference is.
    """
    common: dict[str, set[str]] = {}
    counts: dict[str, Counter[str]] = {}
    for result in results:
        if result.verdict is None or not result.verdict.passed:
            continue
        variants = [o.name for o in result.case.outcomes if o.name != REFERENCE]
        for switch in sorted({by_name(name).switch for name in variants}):
            # Under the outcome of another switch, this one is as in the reference.
            allowed = {
                name if name != REFERENCE and by_name(name).switch == switch else REFERENCE
                for name in result.verdict.follows
            }
            common[switch] = common.get(switch, allowed) & allowed
            counts.setdefault(switch, Counter()).update(allowed)
    return [
        Convention(tuple(sorted(names)), dict(sorted(counts[switch].items())))
        for switch, names in common.items()
        if REFERENCE not in names
    ]
