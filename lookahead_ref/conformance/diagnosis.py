"""What is wrong with a program: the fewest bugs whose simulation does all that it did.

A hypothesis is a set of bugs of `lookahead_ref.conformance.bugs`. It is simulated and
compared with everything that was observed, the cases that passed included.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from lookahead_ref.conformance.bugs import (
    CONVENTIONS,
    NO_GRADIENT,
    Bug,
    DoublePrecision,
    RoundsToSinglePrecision,
    SinglePrecision,
)
from lookahead_ref.conformance.comparing import Bugs, in_order, rank
from lookahead_ref.conformance.explaining import SWAPPED
from lookahead_ref.conformance.findings import Diagnosis, general
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.locating import departures
from lookahead_ref.conformance.searching import AT_ONCE, STEPS, Search, fails, loaded_only
from lookahead_ref.system import uncollected

# Simulated without overflow or subnormals, these say nothing about a hypothesis.
UNTELLING = {"overflow", "subnormal"}


@uncollected()
@np.errstate(all="ignore")
def diagnose(results: Sequence[Result], read: Sequence[type[Bug]] = ()) -> list[Diagnosis]:
    """Explain failed checks, trying first what was `read`; apart from wide numbers."""
    near = [_rounded(each) for each in results]
    found = _in_precisions(near, read)
    passes = any(a.status != b.status for a, b in zip(results, near, strict=True))
    # Bits that are swapped make such numbers too, but then hardly a check passes.
    swapped = (set(SWAPPED).intersection(e) for each in found for e in each.explanations)
    if not passes or any(swapped):
        return found
    failed = {each.case.id for each in near if each.status == "failed"}
    nothing = Diagnosis((), ((),), tuple(sorted(failed)))
    (first,) = found or [nothing]
    told = first if first.explanations else replace(nothing, departures=first.departures)
    both = tuple((*each, DoublePrecision) for each in told.explanations)
    return [replace(told, explanations=both)]


def _rounded(result: Result) -> Result:
    """Judge a result as if it were rounded to its precision."""
    found = result.verdict.mismatches if result.verdict else ()
    far = tuple(each for each in found if each.representable)
    if result.verdict is None or far == found:
        return result
    verdict = replace(result.verdict, mismatches=far)
    return replace(result, verdict=verdict, status="failed" if far else "passed")


def _in_precisions(results: Sequence[Result], read: Sequence[type[Bug]]) -> list[Diagnosis]:
    """Explain the checks that failed; failing that, in the one precision that fails."""
    found = _explained(results, read)
    failed = {r.dtype for r in results if r.status == "failed"}
    one = len(failed) == 1 and failed != {r.dtype for r in results if r.seen}
    if not (one and found) or found[0].explanations:
        return found
    (dtype,) = failed
    (again,) = _explained([r for r in results if r.dtype == dtype], read)
    alone = tuple(
        tuple(type(b.__name__, (b,), {"says": f"{b.says}, in {dtype} alone"}) for b in each)
        for each in again.explanations
    )
    return [replace(again, explanations=alone)] if alone else found


def _explained(results: Sequence[Result], read: Sequence[type[Bug]]) -> list[Diagnosis]:
    """Explain all of the checks or, failing that, those of profiles."""
    telling = [r for r in results if r.seen and not UNTELLING.intersection(r.case.flags)]
    # The cheapest failed check first: most hypotheses end at it.
    telling.sort(key=lambda r: (r.status != "failed", r.case.size, r.dtype))
    if not fails(telling):
        return []
    search = Search(results, telling)
    # One in which few causes show goes before it.
    simplest, *_ = search.kinds(r for r in telling if r.status == "failed")
    telling.sort(key=lambda r: r is not simplest)

    def told(found: Sequence[Bugs], *, single: bool) -> list[Diagnosis]:
        return [_told(search, telling, found, single=single)]

    bases = search.supposed
    if read:
        best = search.together([s.union(read) for s in bases], telling, single=False)
        if search.whole(best, telling, single=False):
            return told(best, single=False)
    # One bug; then a plain edit, as two bugs are less likely; then two bugs.
    for most in (1, AT_ONCE):
        found, single = search.few(telling, most)
        if found and single and not search.is_narrow:
            # Something is rounded, but not everything; more than two are told as one.
            narrow = list(dict.fromkeys([*search.supposed, *found]))
            edits = search.edited(narrow, telling, single=False, narrow=True)
            edits = edits or search.whole(
                search.together(narrow, telling, single=False), telling, single=False
            )
            if edits and len(edits[0].difference(found[0], CONVENTIONS)) <= 2:
                found, single = edits, False
        if most == 1 and not found:
            if swapped := search.swapped(telling):
                return told(swapped[:1], single=False)
            found = search.edited(bases, telling, single=False, plain=True, most=STEPS // 3)
        if found:
            break
    # What is left over is of more of them; then of any edit, alone or beside those.
    nearly = search.nearly
    best = search.together(found or bases, telling, single=single, nearly=nearly)
    if search.whole(best, telling, single=single):
        return told(best, single=single)
    # Where all of float64 fails, it may be computed in float32 besides.
    fine = [result.status for result in telling if result.dtype == "float64"]
    coarser = (False, True) if fine and "passed" not in fine else (False,)
    for tried, coarse in product((search.supposed, best), coarser):
        edits = search.edited(tried, telling, single=coarse)
        if search.whole(edits, telling, single=coarse):
            return told(edits, single=coarse)
    # Two thirds of what was left over, or else it is better left.
    first = (found or bases)[0]
    left = [sum(not search.same(b, r, single) for r in telling) for b in (first, best[0])]
    if left[1] < left[0] / 3:
        return told(best, single=single)
    if found or edits:
        return told(found or edits, single=single)
    # What explains all of a profile is told, though nothing explains the others.
    failing = dict.fromkeys(r.case.profile for r in telling if r.status == "failed")
    profiles = [[r for r in telling if r.case.profile == name] for name in failing]
    parts = (part for part in profiles if search.whole(best[:1], part, single=single))
    explained = [result for part in parts for result in part]
    needed = [search.needed(best[0], explained, single=single)] if explained else []
    return told(needed, single=single)


def _told(
    search: Search, results: Sequence[Result], found: Sequence[Bugs], *, single: bool
) -> Diagnosis:
    """Say what was found, the likelier first."""

    def explained(coarse: bool) -> int:
        return sum(any(search.same(bugs, r, coarse) for bugs in found) for r in results)

    # Best are those that leave nothing over, and expect more than float32.
    single = single and explained(True) > explained(False)
    found = search.whole(found, results, single=single) or found
    found = [s for s in found if not any(_is_special(s, other) for other in found)]
    allowed = search.conventions
    if all(bugs.difference(CONVENTIONS) for bugs in found):
        # One that is followed throughout is allowed, even if no passed case shows it.
        allowed = frozenset(CONVENTIONS)
    ranked = dict.fromkeys(tuple(in_order(_causes(bugs, allowed))) for bugs in found)
    more = (_rounding(search, results),) if single else ()
    explanations = [
        (*bugs, *more)
        for bugs in sorted(ranked, key=lambda bugs: [rank(bug) for bug in bugs])
    ]
    over = [r for r in results if not any(search.same(bugs, r, single) for bugs in found)]
    rest, (first, *_) = {r.case.id for r in over if found}, [*found, *search.supposed]
    dtype = max((r.dtype for r in over if not single), default="float32")
    plain = bool(over) and first.isdisjoint(SWAPPED)  # with which nothing is as it seems
    # With others in their place, the causes may explain as much.
    kept = [r for r in results if search.same(first, r, single)]
    others = search.whole(search.settled(first), kept, single=single)
    options: dict[str, set[str]] = {}
    for each in in_order(frozenset().union(*(found or search.supposed), *others) & allowed):
        options.setdefault(each.place, set()).add(each.name)
    for names in options.values():
        # Of a special case only where it shows.
        names -= {n for n in names if names & {*general(n)} - {n}}
    unobserved: tuple[str, ...] = ()
    if search.asked and len(options.get("no_gradient", NO_GRADIENT)) == len(NO_GRADIENT):
        unobserved = ("no-gradient",)
        options.pop("no_gradient", None)
    return Diagnosis(
        tuple(" or ".join(sorted(each)) for each in options.values()),
        tuple(each for each in explanations if each),
        tuple(sorted(rest)),
        unobserved,
        search.limited and bool(not found or over or more == (RoundsToSinglePrecision,)),
        departures([r for r in results if r.dtype == dtype], first) if plain else (),
    )


def _causes(bugs: Bugs, allowed: Bugs) -> Bugs:
    """Leave conventions out, but for one that goes with another or with a cause."""
    about = Counter(bug.clause for bug in bugs)
    mixed = {bug for bug in bugs.intersection(NO_GRADIENT) if about[bug.clause] > 1}
    return bugs - (allowed - mixed)


def _rounding(search: Search, results: Sequence[Result]) -> type[Bug]:
    """Return the bug of float32, with the arrays that show it."""
    if search.is_narrow:
        return SinglePrecision
    bug, arrays = RoundsToSinglePrecision, search.narrow_arrays(results)
    kept = " and ".join(arrays)
    says = f"keeps {kept} in float32 though it works in float64" if arrays else bug.says
    loaded = loaded_only(r for r in results if r.status == "failed")
    says += ", once a state is loaded" * loaded
    return type(bug.__name__, (bug,), {"says": says}) if arrays or loaded else bug


def _is_special(bugs: Bugs, others: Bugs) -> bool:
    """Return whether one of the bugs is a special case of what the others have for it."""
    own, general = bugs - others, others - bugs
    return len(own) == len(general) == 1 and next(iter(own)).is_case_of(*general)
