"""What is wrong with a program: the fewest bugs whose simulation does all that it did.

A hypothesis is a set of bugs of `lookahead_ref.conformance.bugs`. It is simulated and
compared with everything that was observed, the cases that passed included.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lookahead_ref.conformance.bugs import (
    CONVENTIONS,
    NO_GRADIENT,
    Bug,
    RoundsToSinglePrecision,
    SinglePrecision,
    by_name,
)
from lookahead_ref.conformance.comparing import Bugs, rank
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.searching import AT_ONCE, REFERENCE, STEPS, Search, fails
from lookahead_ref.conformance.vectors import Case

# Simulated without overflow or subnormals, these say nothing about a hypothesis.
_UNTELLING = {"overflow", "subnormal"}
_NEARLY = 0.9
"""The part of the failed checks that an edit must explain to be told all the same."""


@dataclass(frozen=True)
class Diagnosis:
    """What explains the checks that a program fails."""

    scope: str | None  # the profile that it is for; None for all that was observed
    conventions: tuple[str, ...]  # that the cases show the program to follow
    explanations: tuple[tuple[type[Bug], ...], ...]  # of all: each as good, likelier first
    exceptions: tuple[str, ...] = ()  # the ids of cases left over
    unobserved: tuple[str, ...] = ()  # conditions that no case has shown
    limited: bool = False  # whether the search ended before all was tried


@dataclass(frozen=True)
class Followed:
    """What a program does at one of the places where programs follow conventions."""

    # The outcomes that all cases allow: several where none of them tells them apart, none
    # where the program does one thing here and another there.
    names: tuple[str, ...]
    checks: dict[str, int]  # outcome to the number of checks that follow it


def followed(results: Iterable[Result]) -> list[Followed]:
    """Find the conventions, other than those of the reference, that passed checks show."""
    # Not those in doubt: where all that fail are checks in which programs differ so.
    results = list(results)
    doubtful = [_places(each) for each in results if each.status == "failed"]
    unsure = frozenset.intersection(*doubtful) if doubtful else frozenset()
    common: dict[str, set[str]] = {}
    counts: dict[str, Counter[str]] = {}
    for result in results:
        if result.verdict is None or not result.verdict.passed:
            continue
        for place in sorted(_places(result) - unsure):
            # Under a convention about another place, this one is as in the reference.
            allowed = {
                each
                for name in result.verdict.follows
                for each in _implied(name, place) or [REFERENCE]
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


def _implied(outcome: str, place: str) -> list[str]:
    """Name the convention of an outcome, and that of which it is a special case."""
    if outcome == REFERENCE or by_name(outcome).place != place:
        return []
    return _general(by_name(outcome))


def _general(convention: type[Bug]) -> list[str]:
    """Name a convention, and that of which it is a special case."""
    return [each.name for each in CONVENTIONS if convention.is_case_of(each)]


def diagnose(results: Sequence[Result]) -> list[Diagnosis]:
    """Explain the checks that failed: all of them or, failing that, by profile."""
    telling = [r for r in results if _tells(r.case) and r.seen is not None]
    # The cheapest failed check first: most hypotheses end at it.
    telling.sort(key=lambda r: (r.status != "failed", r.case.size, r.dtype))
    if not fails(telling):
        return []
    profiles: dict[str, list[Result]] = {r.case.profile: [] for r in results}
    for result in telling:
        profiles[result.case.profile].append(result)
    failing = {name: part for name, part in profiles.items() if fails(part)}
    search = Search(results, telling)

    def told(found: Sequence[Bugs], *, single: bool) -> list[Diagnosis]:
        return [_told(search, None, telling, found, single=single)]

    # One bug; then a plain edit, as two bugs are less likely; then two, and all edits.
    for most in (1, 2):
        found, single = search.few(telling, most)
        if found and single and not search.is_narrow:
            # Something is rounded, but not everything is.
            bases = list(dict.fromkeys([*search.supposed, *found]))
            if edits := search.edited(bases, telling, single=False, narrow=True):
                found, single = edits, False
        # Two bugs that leave something over are less likely than one edit that does not.
        if found and (most == 1 or search.whole(found, telling, single=single)):
            return told(search.rest(found, telling, single=single), single=single)
        limit = {"plain": True} if most == 1 else {"most": STEPS * 2 // 3}
        if edits := search.edited(search.supposed, telling, single=False, **limit):
            return told(search.rest(edits, telling, single=False), single=False)
    if found:
        return told(found, single=single)
    single = any(result.dtype == "float64" for result in telling)
    passing = [r for name, part in profiles.items() if name not in failing for r in part]
    found, explained = search.many(failing, passing, single=single)
    if len(explained) == len(failing):
        return told(found, single=single)
    # Of the whole, edits beside what explains some of it already.
    bases = [each for each in found if each not in search.supposed]
    # Where all of float64 fails, it may be computed in float32 besides.
    fine = [result.status for result in telling if result.dtype == "float64"]
    for coarse in (False, True) if single and "passed" not in fine else (False,):
        more = [*search.supposed, *bases] if coarse else bases
        if more and (edits := search.edited(more, telling, single=coarse)):
            return told(edits, single=coarse)
    # More than one edit, or one that explains nearly all.
    near = search.nearest([search.supposed[0], *bases[:1]], telling)
    if near and (edits := search.edited([near], telling, single=False)):
        return told(edits, single=False)
    failed = [r for r in telling if r.status == "failed"]
    if near and sum(search.same(near, r, False) for r in failed) > _NEARLY * len(failed):
        return told([near], single=False)
    parts = [_told(search, None, telling, [], single=False)]
    for name, part in failing.items() if len(failing) > 1 else ():
        if name in explained:
            alone = [search.needed(bugs, part, single=single) for bugs in found]
            parts.append(_told(search, name, part, alone, single=single))
        else:
            alone, coarse = search.few(part, AT_ONCE)
            alone = alone or search.edited(search.supposed, part, single=False)
            parts.append(_told(search, name, part, alone, single=coarse))
    return parts


def _told(
    search: Search,
    scope: str | None,
    results: Sequence[Result],
    found: Sequence[Bugs],
    *,
    single: bool,
) -> Diagnosis:
    """Say what was found, the likelier first."""

    def explained(coarse: bool) -> int:
        return sum(any(search.same(bugs, r, coarse) for bugs in found) for r in results)

    # Best are those that leave nothing over, and expect more than float32.
    single = single and explained(True) > explained(False)
    found = search.whole(found, results, single=single) or found
    found = [s for s in found if not any(_is_special(s, other) for other in found)]
    allowed = search.conventions
    if scope is None and all(bugs.difference(CONVENTIONS) for bugs in found):
        # One that is followed throughout is allowed, even if no passed case shows it.
        allowed = frozenset(CONVENTIONS)
    ranked = {
        tuple(sorted(bugs - allowed, key=lambda bug: (rank(bug), bug.name)))
        for bugs in found
    }
    rounding = SinglePrecision if search.is_narrow else RoundsToSinglePrecision
    more = (rounding,) if single else ()
    explanations = [
        (*bugs, *more)
        for bugs in sorted(ranked, key=lambda bugs: [rank(bug) for bug in bugs])
    ]
    rest = {
        r.case.id
        for r in results
        if found and not any(search.same(bugs, r, single) for bugs in found)
    }
    options: dict[str, set[str]] = {}
    for each in frozenset().union(*(found or search.supposed)) & allowed:
        options.setdefault(each.place, set()).add(each.name)
    for names in options.values():
        # Of a special case only where it shows.
        names -= {n for n in names if names & {*_general(by_name(n))} - {n}}
    unobserved: tuple[str, ...] = ()
    if search.asked and len(options.get("no_gradient", NO_GRADIENT)) == len(NO_GRADIENT):
        unobserved = ("no-gradient",)
        options.pop("no_gradient", None)
    return Diagnosis(
        scope,
        tuple(" or ".join(sorted(each)) for each in options.values()),
        tuple(each for each in explanations if each),
        tuple(sorted(rest)),
        unobserved,
        search.limited and not found,
    )


def _tells(case: Case) -> bool:
    return not _UNTELLING.intersection(case.flags)


def _is_special(bugs: Bugs, others: Bugs) -> bool:
    """Return whether one of the bugs is a special case of what the others have for it."""
    own, general = bugs - others, others - bugs
    return len(own) == len(general) == 1 and next(iter(own)).is_case_of(*general)
