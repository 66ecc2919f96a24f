"""What there is to tell of a program: conventions that it follows, and what is wrong."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lookahead_ref.conformance.bugs import CONVENTIONS, Bug, by_name
from lookahead_ref.conformance.judging import Result

REFERENCE = "reference"


@dataclass(frozen=True)
class Diagnosis:
    """What explains the checks that a program fails."""

    conventions: tuple[str, ...]  # that the cases show the program to follow
    explanations: tuple[tuple[type[Bug], ...], ...]  # of all: each as good, likelier first
    exceptions: tuple[str, ...] = ()  # the ids of cases left over
    unobserved: tuple[str, ...] = ()  # conditions that no case has shown
    limited: bool = False  # whether the search ended before all was tried
    departures: tuple[str, ...] = ()  # steps that are wrong in themselves, of what is left
    alone: str = ""  # a case of what is left that passes in a new process


def left_over(results: Iterable[Result], found: Sequence[Diagnosis]) -> list[Result]:
    """Return the failed checks that a diagnosis leaves over, the simplest first."""
    over = {case for each in found for case in each.exceptions}
    nothing = bool(found) and not any(each.explanations for each in found)
    left = [r for r in results if r.status == "failed" and (nothing or r.case.id in over)]
    return sorted(left, key=lambda r: (len(r.case.data["lookahead"]), r.case.size))


@dataclass(frozen=True)
class Followed:
    """What a program does at one of the places where programs follow conventions."""

    # The outcomes that all cases allow: several where none of them tells them apart, none
    # where the program does one thing here and another there.
    names: tuple[str, ...]
    checks: dict[str, int]  # outcome to the number of checks that follow it


def followed(results: Iterable[Result], changed: Collection[str] = ()) -> list[Followed]:
    """Find the conventions that passed checks show, but for places that a bug changes."""
    # Not those in doubt: where all that fail are checks in which programs differ so.
    results = list(results)
    doubtful = [_places(each) for each in results if each.status == "failed"]
    unsure = frozenset.intersection(*doubtful) if doubtful else frozenset()
    common: dict[str, set[str]] = {}
    counts: dict[str, Counter[str]] = {}
    for result in results:
        if result.verdict is None or not result.verdict.passed:
            continue
        for place in sorted(_places(result) - unsure - {*changed}):
            own = {each.name for each in CONVENTIONS if each.place == place}
            # Under a convention about another place, this one is as in the reference.
            allowed = {
                each
                for name in result.verdict.follows
                for each in (general(name) if name in own else [REFERENCE])
            }
            common[place] = common.get(place, allowed) & allowed
            counts.setdefault(place, Counter()).update(allowed)
    return [
        Followed(tuple(sorted(names)), dict(sorted(counts[place].items())))
        for place, names in common.items()
        if REFERENCE not in names
    ]


def _places(result: Result) -> frozenset[str]:
    names = {each.name for each in result.case.outcomes} - {REFERENCE}
    return frozenset(by_name(name).place for name in names)


def general(convention: str) -> list[str]:
    """Name a convention, and that of which it is a special case."""
    return [each.name for each in CONVENTIONS if by_name(convention).is_case_of(each)]
