"""The search for sets of bugs and edits whose simulation does what a program did."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice, product

from lookahead_ref.conformance.bugs import CONVENTIONS, KNOWN, NO_GRADIENT, Bug, by_name
from lookahead_ref.conformance.bugs.simulation import Edit, has
from lookahead_ref.conformance.comparing import Bugs, in_order, rank
from lookahead_ref.conformance.edits import edits_for, edits_of, places_under
from lookahead_ref.conformance.edits.parts import When, conditions, only
from lookahead_ref.conformance.explaining import NEEDS, SWAPPED, Simulations
from lookahead_ref.conformance.findings import REFERENCE
from lookahead_ref.conformance.judging import Result, wide
from lookahead_ref.conformance.locating import choices, steps_of

# Sets of so many bugs are tried, within limits. Then up to so many causes are added, one by
# one, from so many checks that fail, with edits fewer, on top of some of the best.
AT_ONCE, _SAMPLE, _CAUSES, _CHECKS, _STARTS, _KEPT = 2, 6, 8, 12, 3, 3

_SWAPPED = 0.75  # of all checks; other bugs than swapped bits explain next to nothing so

# Edits of the oracle are tried for so many steps of simulations, a few seconds of one core,
# and on top of what explains a part for more; so many that explain it equally are told.
STEPS, _ON_TOP, _TOLD = 50_000, 56_000, 3


class Search:
    """The search for what explains some results."""

    def __init__(self, all_results: Iterable[Result], results: Sequence[Result]) -> None:
        self._runs = Simulations()
        self.same, self.reached = self._runs.same, self._runs.reached
        self.narrow_arrays = self._runs.narrow_arrays
        known = _conventions(results)
        self.asked = any("no-gradient" in each.case.flags for each in all_results)
        # Cases without gradients have no reference, so that a program which passes none of
        # them follows one convention or another; what fails in them alone, another half.
        lacks = ["no-gradient" in r.case.flags for r in results]
        failed = [x for x, r in zip(lacks, results, strict=True) if r.status == "failed"]
        if all(failed) or (any(lacks) and not set(NO_GRADIENT).intersection(known[0])):
            rest = [frozenset(each).difference(NO_GRADIENT) for each in known]
            known = [(*each, convention) for each in rest for convention in NO_GRADIENT]
        self.limited = False  # whether it ended before all was tried
        self.nearly: list[Bugs] = []  # with an edit that explains most of a sample
        self._for_pairs = STEPS // 2  # of two bugs at once
        self._most = STEPS * (3 if all(failed) else 2) // 2  # for several conventions
        # Whether what works in float64 shows only what float32 can be.
        fine = [self._runs.observed(r) for r in results if r.dtype == "float64"]
        self.is_narrow = not any(wide(x).any() for each in fine for _, x in each.values())
        self.supposed = [*dict.fromkeys(map(frozenset, known))]
        self.conventions = frozenset(each for some in known for each in some)

    def few(self, results: Sequence[Result], most: int) -> tuple[list[Bugs], bool]:
        """Find the sets of so few bugs that explain all; whether in float32 only."""
        plain = _plain(results)
        coarse = (self.is_narrow or most > 1) and _is_common(results)
        # First with all that is expected of float64; failing that, of no more than float32.
        for single in (False, True) if coarse else (False,):
            for selection in (results, plain) if len(plain) < len(results) else (results,):
                if fails(selection):
                    found = self._grown(self.supposed, selection, most, single=single)
                    if found and (single or found[0] not in self.supposed):
                        return found, single
        return [], False

    def swapped(self, results: Sequence[Result]) -> list[Bugs]:
        """Find bits that are swapped, though much of what follows from it is chance."""
        base, some = self.supposed[0], results[:: 1 + len(results) // (4 * _SAMPLE)]
        sets = [base.union(way) for way in (SWAPPED[:1], SWAPPED[1:], SWAPPED)]
        least = _SWAPPED * len(some)
        return [x for x in sets if sum(self.reached(x, r, False) for r in some) > least]

    def together(
        self,
        bases: Sequence[Bugs],
        results: Sequence[Result],
        *,
        single: bool,
        nearly: Sequence[Bugs] = (),
    ) -> list[Bugs]:
        """Add one cause after the other; with names, and then edits if that is too few."""
        stages = [(False, results), (True, results)]
        # What shows the convention would else be explained by bugs beside a wrong one.
        some = [r for r in results if "no-gradient" not in r.case.flags]
        if len(self.supposed) > 1 and any(r.status == "failed" for r in some):
            stages[:1] = [(False, some), (True, some)]
        for edits, part in stages:
            found = self._added([*bases, *(nearly if edits else ())], part, single, edits)
            kept = self.conventions & self._most_of(self.settled(found[0]), results, single)
            found = [bugs - self.conventions | kept for bugs in found]
            if self.whole(found, results, single=single):
                break
            # What rounds more than a program does leaves nothing to add.
            found = [b for b in found if edits or not any(each.narrow for each in b)]
            bases = list(dict.fromkeys([*found, *bases]))
        self._most = max(self._most, self._runs.steps + STEPS // 4)  # for one edit alone
        whole = self.whole(found, results, single=single)
        # Beside what nothing explains, an edit that explains few checks is likely wrong.
        least = 1 if whole else 2 + sum(r.status == "failed" for r in results) // 20
        best = found[:_TOLD] if whole else [self._elsewhere(found[0], results, single)]
        needed = [self.needed(b, results, single=single, least=least) for b in best]
        return self._others(list(dict.fromkeys(needed)), results, single)

    def settled(self, bugs: Bugs) -> list[Bugs]:
        """Exchange the conventions for all that may be followed."""
        first = bugs - self.conventions
        taken = {bug.place for bug in first}  # by an edit of what a convention changes
        return [first.union(x for x in s if x.place not in taken) for s in self.supposed]

    def _elsewhere(self, bugs: Bugs, results: Sequence[Result], single: bool) -> Bugs:
        """Try edits in another optimizer: the inner one, the outer one, or both."""
        others = [
            frozenset(b for b in bugs if b not in (edit, other) and b.place != other.place)
            | {other}
            for edit in in_order(bugs)
            for other in _alike(edit, bugs.intersection(CONVENTIONS))
        ]
        return self._most_of([bugs, *others], results, single)

    def _under_condition(
        self, bugs: Bugs, results: Sequence[Result], single: bool
    ) -> list[Bugs]:
        """Let an edit take effect in some cases alone where that explains all."""
        others = (
            bugs - {edit} | {only(edit, when)}
            for edit in in_order(bugs)
            if issubclass(edit, Edit)
            for when in conditions(edit)
        )
        fits = (b for b in others if self.whole([b], results, single=single))
        return [*islice(fits, 1)]

    def _most_of(
        self, some: Sequence[Bugs], results: Sequence[Result], single: bool
    ) -> Bugs:
        best, fewest = some[0], len(results) + 1
        for bugs in some:
            lost = (r for r in results if not self.same(bugs, r, single))
            if (missed := len([*islice(lost, fewest)])) < fewest:
                best, fewest = bugs, missed
        return best

    def _added(
        self, bases: Sequence[Bugs], results: Sequence[Result], single: bool, edits: bool
    ) -> list[Bugs]:
        """Add causes of which each explains more of some check than was explained."""
        failed = [r for r in results if r.status == "failed"]
        passed = _without(results, failed)
        float32 = [r for r in results if r.dtype == "float32"]
        passed = passed[:: 1 + len(passed) // _SAMPLE]
        spread = failed[:: 1 + len(failed) // (2 * _SAMPLE)]
        kinds: list[Result] = []

        def score(bugs: Bugs) -> tuple[float, ...]:
            parts = [self.reached(bugs, r, single) for r in (*kinds, *spread)]
            own = bugs - self.conventions
            causes = sum(bug.causes for bug in own)
            return -parts.count(1.0), -sum(parts), causes, *sorted(map(rank, own))

        def best(some: Iterable[Bugs]) -> list[Bugs]:
            distinct: dict[tuple[float, ...], Bugs] = {}
            for bugs in sorted(some, key=score):
                distinct.setdefault(score(bugs)[:2], bugs)
            return [*distinct.values()][:_KEPT]

        for _ in range(_CAUSES):
            if found := self.whole(bases, results, single=single):
                return found
            unseen = [r for r in failed if not self.same(bases[0], r, single)]
            kinds += [r for r in self.kinds(unseen)[:_SAMPLE] if r not in kinds]
            narrow = _is_rounding(unseen, float32)
            bases, grown = best(bases), dict[Bugs, None]()
            self._runs.searching = True
            for base in bases:
                left = [r for r in kinds if not self.same(base, r, single)]
                for result in _apart(left, self._features, _STARTS if edits else _CHECKS):
                    for bugs in self._further(base, result, single, narrow, edits):
                        if all(
                            self.same(bugs, r, single) or not self.same(base, r, single)
                            for r in passed
                        ):
                            grown[bugs] = None
                    # The other checks may be of what is to come on top of it.
                    if any(self.same(bugs, result, single) for bugs in grown):
                        break
                whole = [b for b in grown if any(self.same(b, r, single) for r in left)]
                # What explains a part of a check may do so by chance: it comes second.
                if grown := dict.fromkeys([*whole, *(grown if edits else ())]):
                    break
            self._runs.searching = False
            further = best(grown)
            if not further or score(further[0])[:2] >= score(bases[0])[:2]:
                break
            some = results[:: 1 + len(results) // (8 * _SAMPLE)]
            bases = [self._elsewhere(bugs, some, single) for bugs in further]
        return list(bases)

    def _further(
        self, base: Bugs, result: Result, single: bool, narrow: bool, edits_too: bool
    ) -> Iterator[Bugs]:
        """Yield what explains more of a check than some bugs do, by one cause more."""
        yield from self._grown([base], [result], single=single)  # or by two bugs, all of it
        conventions = base.intersection(CONVENTIONS)
        taken = {each.place for each in conventions}
        before = self.reached(base, result, single)
        for bug in self._runs.showing(result.case):
            if bug.place not in taken:  # in the place of another it may do more
                others = frozenset(each for each in base if each.place != bug.place)
                if self.reached(others | {bug}, result, single) > before:
                    yield others | {bug}
        if not edits_too:
            return
        for edits in edits_for(
            [result.case.data],
            conventions,
            narrow=narrow,
            only_plain=True,
            scaled=True,
            once=in_order(base),
        ):
            if self._runs.steps > _ON_TOP:
                self.limited = True
                return
            bugs = self._on_top(base, edits, [result], ())
            if bugs and self.reached(bugs, result, single) > before:
                yield bugs

    def _others(
        self, found: list[Bugs], results: Sequence[Result], single: bool
    ) -> list[Bugs]:
        """Exchange a bug for another of its place where that explains as much."""
        first, *_ = found
        rest = [r for r in results if self.same(first, r, single)]
        own = in_order(first - self.conventions)
        for lost in (*own, None):  # best is to need one less
            others = [
                first - {lost, bug} | {other}
                for bug in own
                for other in KNOWN
                if other.place == bug.place and other != bug != lost
            ]
            if more := self.whole(others, rest, single=single):
                if lost is not None:
                    return self._others(more, results, single)
                found = list(dict.fromkeys([*found, *more]))
        return found

    def _features(self, result: Result) -> frozenset[str]:
        """Return what a check has that a cause may need to show."""
        data, mismatches = result.case.data, result.verdict and result.verdict.mismatches
        of = {*NEEDS, *(level["inner_state"] for level in data["lookahead"])}
        met = {need for need in of if has(need, data)} | {data["inner"]["rule"]}
        where = mismatches[0].where if mismatches else ""
        return frozenset(met | {result.dtype} - {"float32"} | {where} - {"fast weights"})

    def kinds(self, failed: Iterable[Result]) -> list[Result]:
        """Return a check of each kind that has all of no other: few causes show there."""
        least: dict[frozenset[str], Result] = {}
        for result in failed:
            least.setdefault(self._features(result), result)
        order = sorted(least, key=len)
        return [least[one] for one in order if not any(other < one for other in order)]

    def needed(
        self, bugs: Bugs, results: Sequence[Result], *, single: bool, least: int = 1
    ) -> Bugs:
        """Leave out bugs without which as much is explained, and edits of too little."""
        for bug in reversed(in_order(bugs - self.conventions)):
            lost = (
                not self.same(bugs - {bug}, each, single)
                for each in results
                if self.same(bugs, each, single)
            )
            if sum(lost) < (least if issubclass(bug, Edit) else 1):
                # What was needed beside it, as an edit that undoes a bug is, need not be.
                return self.needed(bugs - {bug}, results, single=single, least=least)
        return bugs

    def whole(
        self, found: Iterable[Bugs], results: Sequence[Result], *, single: bool
    ) -> list[Bugs]:
        """Return those that leave nothing over."""
        return [s for s in found if all(self.same(s, r, single) for r in results)]

    # Which sets explain something.

    def _grown(
        self,
        bases: Iterable[Bugs],
        results: Sequence[Result],
        most: int = AT_ONCE,
        *,
        single: bool,
    ) -> list[Bugs]:
        """Find the smallest sets on top of some that explain all results."""
        for more in range(most + 1):
            tried: set[tuple[Bugs, int]] = set()
            grown = [self._with(each, results, more, single, tried) for each in bases]
            if found := [bugs for each in grown for bugs in each]:
                return found
        return []

    def _with(
        self,
        bugs: Bugs,
        results: Sequence[Result],
        more: int,
        single: bool,
        tried: set[tuple[Bugs, int]],
    ) -> Iterator[Bugs]:
        """Yield the sets of so many more bugs that explain all results."""
        if (bugs, more) in tried:
            return
        tried.add((bugs, more))
        missed = next((r for r in results if not self.same(bugs, r, single)), None)
        if missed is None:
            yield bugs
        elif more:
            # One of those that are to come must show where these do not explain it.
            taken = {each.place: each for each in bugs}
            for bug in self._runs.showing(missed.case):
                other = taken.get(bug.place)  # a convention that is followed in part goes
                kept = other is not None and (other.kind == "bug" or bug.kind == "variant")
                if kept or (more > 1 and self._for_pairs < 0):
                    continue
                before, new = self._runs.all_steps, bugs - {other} | {bug}
                shows = self.same if more == 1 else partial(self._matters, bugs)
                if shows(new, missed, single):
                    yield from self._with(new, results, more - 1, single, tried)
                if more > 1 and len(results) > 1:
                    self._for_pairs -= self._runs.all_steps - before

    def _matters(self, bugs: Bugs, new: Bugs, result: Result, single: bool) -> bool:
        """Return whether what is new shows where the others leave what was observed."""
        before, after = (self.reached(each, result, single) for each in (bugs, new))
        at = [
            self._runs.left.get((id(result), self._runs.within(b, result.case)))
            for b in (bugs, new)
        ]
        return after > before or (after == before and (before >= 0.5 or at[0] != at[1]))

    def edited(
        self,
        bases: Sequence[Bugs],
        results: Sequence[Result],
        *,
        single: bool,
        narrow: bool = False,
        plain: bool = False,
        most: int = 0,
    ) -> list[Bugs]:
        """Find the plainest edits of the oracle that explain all, on top of some bugs."""
        most, simple = most or self._most, _plain(results)
        simple = simple if fails(simple) else list(results)
        failed = [r for r in simple if r.status == "failed"]
        # The bugs may explain some of them already.
        failed = [r for r in failed if not self.same(bases[0], r, single)] or failed
        passed = _without(simple, failed)
        some = [part[:: 1 + len(part) // _SAMPLE] for part in (failed, passed)]
        order = [*some[0], *some[1], *simple]
        steps = [] if plain else [x for r in some[0] for x in steps_of(r, bases[0])]
        conventions = {bug for base in bases for bug in base if bug in CONVENTIONS}
        found, later, partly, plainest = list[Bugs](), list[Bugs](), list[Bugs](), 0
        self._runs.searching = True
        # What fails in float64 alone may be rounded, or differ by little.
        rounds = (True, False) if _is_rounding(failed, passed) and not narrow else (narrow,)
        tried = (
            edits
            for narrow in rounds
            if not found and self._runs.steps <= most
            for edits in edits_for(
                [r.case.data for r in failed],
                conventions,
                narrow=narrow,
                loaded=loaded_only(failed),
                choices=[*choices(steps, {name for each in steps for name in each.wrong})],
                worth=lambda edit, when: any(
                    self._is_worth(base, edit, when, failed[0], single) for base in bases
                ),
                only_plain=plain,
            )
        )
        for edits in tried:
            enough = len(found) >= _TOLD or (found and edits[0].rank > plainest)
            if enough or self._runs.steps > most:
                break
            if not self._runs.broken.isdisjoint(edits[0].__mro__[1:]):
                continue
            for base in bases:
                bugs = self._on_top(base, edits, failed, found)
                if not (bugs and self.same(bugs, failed[0], single)):
                    continue
                missed = sum(not self.same(bugs, each, single) for each in some[0])
                if not missed:
                    if not (later or self.whole([bugs], results, single=single)):
                        later = self._under_condition(bugs, results, single)
                    bugs = self._elsewhere(bugs, results, single)
                fits = not missed and self.whole([bugs], order, single=single)
                if fits and self.whole([bugs], results, single=single):
                    plainest = plainest if found else edits[0].rank
                    found.append(bugs)
                elif fits:
                    if not self.whole([base], order, single=single):
                        partly.append(bugs)
                elif 3 * missed < len(some[0]) and self.whole(
                    [bugs], some[1], single=single
                ):
                    self.nearly.append(bugs)
        self._runs.searching = False
        self.limited |= most == self._most < self._runs.steps  # fewer are tried again
        clauses = Counter(r.case.data["clause"] for r in failed)
        distinct: dict[str, Bugs] = {}
        partly.sort(key=lambda bugs: -sum(self.same(bugs, r, single) for r in results))
        for bugs in found or later or partly:
            distinct.setdefault(self._runs.behaviour(bugs, results), bugs)
        told = list(distinct.values())[:_TOLD]
        clause, count = clauses.most_common(1)[0]
        if 2 * count > clauses.total():
            own = {bug: _cited(bug, clause) for bugs in told for bug in bugs}
            told = [frozenset(own[bug] for bug in bugs) for bugs in told]
        return told

    def _is_worth(
        self, base: Bugs, edit: type[Edit], when: When, result: Result, single: bool
    ) -> bool:
        """Return whether an edit may explain a check if it has a condition."""
        alone = self._on_top(base, (edit,), [result], ())
        if self.same(alone, result, single):
            return True
        steps = [self._runs.right_steps(bugs, result, single) for bugs in (base, alone)]
        return when.is_worth(result.case.data, *steps)

    def _on_top(
        self,
        base: Bugs,
        edits: Sequence[type[Edit]],
        failed: Sequence[Result],
        found: Sequence[Bugs],
    ) -> Bugs:
        """Add edits to bugs; return nothing if that says no more than what was found."""
        base = frozenset(bug for bug in base if bug.place != edits[0].place)
        says = {_what(bug) for bugs in found for bug in bugs}
        if says.issuperset(map(_what, edits)) or any(s < base.union(edits) for s in found):
            return frozenset()
        if edits[0].fitted is not None:
            return self._runs.fitted(base, edits[0], failed)
        return base.union(edits)


def _apart(
    results: Sequence[Result], features: Callable[[Result], frozenset[str]], most: int
) -> list[Result]:
    """Return the first of some checks, and those that have least in common with it."""
    chosen = list(results[:1])
    while len(chosen) < min(most, len(results)):
        others = [each for each in results if each not in chosen]
        chosen.append(
            max(
                others,
                key=lambda r: min(len(features(r) ^ features(each)) for each in chosen),
            )
        )
    return chosen


def fails(results: Sequence[Result]) -> bool:
    return bool(results) and results[0].status == "failed"


def loaded_only(failed: Iterable[Result]) -> bool:
    """Return whether nothing is wrong before a state is loaded."""
    firsts = [r.verdict.mismatches[0].where for r in failed if r.verdict]
    return all("after loading" in where for where in firsts)


def _is_rounding(failed: Iterable[Result], passed: Iterable[Result]) -> bool:
    """Return whether it shows in float64 alone, as a rounding to float32 does."""
    some = [{each.dtype for each in part} for part in (failed, passed)]
    return some[0] == {"float64"} and "float32" in some[1]


def _is_common(results: Iterable[Result]) -> bool:
    """Return whether so much of float64 fails that it may be rounded to float32."""
    fine = [result for result in results if result.dtype == "float64"]
    failed = [result for result in fine if result.status == "failed"]
    rules = {result.case.data["inner"]["rule"] for result in failed}
    if loaded_only(failed):
        fine = [result for result in fine if result.case.save_after is not None]
    return 4 * len(failed) > sum(r.case.data["inner"]["rule"] in rules for r in fine)


def _what(bug: type[Bug]) -> str:
    """Return what it does, wherever it does so."""
    return bug.says.partition(", in ")[0]


def _alike(bug: type[Bug], conventions: Bugs) -> Iterator[type[Bug]]:
    """Yield the edits that do the same elsewhere in a function, or with a convention."""
    for place in places_under(conventions) if issubclass(bug, Edit) else ():
        if place.title == getattr(bug, "title", ""):
            yield from (e for e in edits_of(place) if _what(e) == _what(bug) and e != bug)


def _cited(bug: type[Bug], clause: str) -> type[Bug]:
    """Let an edit cite the clause that most of the checks that fail are of."""
    return type("Edit", (bug,), {"clause": clause}) if issubclass(bug, Edit) else bug


def _without(results: Iterable[Result], others: Iterable[Result]) -> list[Result]:
    ids = {id(each) for each in others}
    return [each for each in results if id(each) not in ids]


def _plain(results: Iterable[Result]) -> list[Result]:
    """Leave out what a bug does in ways that depend on how a program is built."""
    # Lookaheads around others, and parameters without a gradient.
    return [
        r
        for r in results
        if len(r.case.data["lookahead"]) == 1 and "no-gradient" not in r.case.flags
    ]


def _conventions(results: Iterable[Result]) -> list[tuple[type[Bug], ...]]:
    """Return the sets of conventions, one a place, that the passed cases follow best."""
    tally: dict[str, Counter[str]] = {}
    for result in results:
        follows = () if result.verdict is None else result.verdict.follows
        if REFERENCE not in follows:
            for general in map(by_name, follows):
                # A special case that does not show here is followed as well.
                special = [
                    each.name
                    for each in CONVENTIONS
                    if each.is_case_of(general) and not each.applies(result.case.data)
                ]
                names = [general.name, *special]
                tally.setdefault(general.place, Counter()).update(names)
    best = [
        [by_name(name) for name, count in names.items() if count == max(names.values())]
        for names in tally.values()
    ]
    return list(product(*best))
