"""The search for sets of bugs and edits whose simulation does what a program did."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any, TypeVar, cast

import numpy as np

from lookahead_ref.conformance.bugs import CONVENTIONS, KNOWN, NO_GRADIENT, Bug, by_name
from lookahead_ref.conformance.bugs.simulation import Edit, Watch, has
from lookahead_ref.conformance.comparing import (
    BrokenError,
    Bugs,
    DiffersError,
    Values,
    agreeing,
    matching,
    rank,
    rows_of,
    seen_values,
    simulated_values,
    slack_of,
    watching,
)
from lookahead_ref.conformance.edits import edits_for
from lookahead_ref.conformance.edits.parts import CHOICES, chosen
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.vectors import Case, Float64Array

T = TypeVar("T")

REFERENCE = "reference"
_NEEDS = frozenset().union(*(bug.needs for bug in KNOWN))
_READS_SWAPPED, _WRITES_SWAPPED = map(
    by_name, ("reads-bits-swapped", "writes-bits-swapped")
)

# All sets of so many bugs are tried. Where that is too few, up to so many causes are added
# one by one, from so many checks that fail, with edits fewer, on top of some of the best.
AT_ONCE, _SAMPLE, _CAUSES, _CHECKS, _STARTS, _KEPT = 2, 6, 8, 12, 3, 3

# Where nothing with a name explains all, edits of the oracle are tried for so many steps of
# simulations, about nine seconds of one core; so many that explain it equally are told.
STEPS, _TOLD = 110_000, 3


class Search:
    """Sets of bugs beside what is observed; nothing is simulated twice."""

    def __init__(self, all_results: Iterable[Result], results: Sequence[Result]) -> None:
        self._done: dict[object, Any] = {}
        self._known: dict[int, dict[type[Bug], None]] = {}
        known = _conventions(results)
        self.asked = any("no-gradient" in each.case.flags for each in all_results)
        # Cases without gradients have no reference, so that a program which passes none of
        # them follows one convention or another.
        lacks = any("no-gradient" in result.case.flags for result in results)
        if lacks and not any(each in NO_GRADIENT for each in known[0]):
            known = [(*each, convention) for each in known for convention in NO_GRADIENT]
        self.steps = 0  # simulated while edits are tried
        self.searching = self.limited = False
        # Whether what works in float64 shows only what float32 can be.
        fine = [self._observed(r) for r in results if r.dtype == "float64"]
        with np.errstate(over="ignore"):
            self.is_narrow = all(
                np.array_equal(values, values.astype(np.float32), equal_nan=True)
                for each in fine
                for _, values in each.values()
            )
        self._broken: set[type[Bug]] = set()
        self._left: dict[object, Sequence[float]] = {}  # the weights where it differed
        self.supposed = [frozenset(each) for each in known]
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

    def together(
        self, bases: Sequence[Bugs], results: Sequence[Result], *, single: bool
    ) -> list[Bugs]:
        """Add one cause after the other; with names, and then edits if that is too few."""
        for edits in (False, True):
            found = self._added(bases, results, single, edits)
            if self.whole(found, results, single=single):
                break
            bases = list(dict.fromkeys([*found, *bases]))
        else:  # the best, with the convention that leaves least over
            some = [found[0] - self.conventions | each for each in self.supposed]
            left = {b: sum(not self.same(b, r, single) for r in results) for b in some}
            found = [min(some, key=lambda bugs: left[bugs])]
        return self._others(found, results, single)

    def _added(
        self, bases: Sequence[Bugs], results: Sequence[Result], single: bool, edits: bool
    ) -> list[Bugs]:
        """Add causes of which each explains more of some check than was explained."""
        failed = [r for r in results if r.status == "failed"]
        passed = _without(results, failed)
        narrow = _is_rounding(failed, passed)
        passed = passed[:: 1 + len(passed) // _SAMPLE]
        spread = failed[:: 1 + len(failed) // (2 * _SAMPLE)]
        kinds: list[Result] = []

        def score(bugs: Bugs) -> tuple[float, ...]:
            parts = [self.reached(bugs, r, single) for r in (*kinds, *spread)]
            told = sorted(rank(bug) for bug in bugs - self.conventions)
            return -parts.count(1.0), -sum(parts), len(told), *told

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
            bases, grown = best(bases), dict[Bugs, None]()
            self.searching = True
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
                # What explains a part of a check may do so by chance.
                if grown := dict.fromkeys(whole or (grown if edits else ())):
                    break
            self.searching = False
            further = best(grown)
            if not further or score(further[0])[:2] >= score(bases[0])[:2]:
                break
            bases = further
        return list(bases)

    def _further(
        self, base: Bugs, result: Result, single: bool, narrow: bool, edits_too: bool
    ) -> Iterator[Bugs]:
        """Yield what explains more of a check than some bugs do, by one cause more."""
        yield from self._grown([base], [result], single=single)  # or by two bugs, all of it
        conventions = base.intersection(CONVENTIONS)
        taken = {each.place for each in conventions}
        before = self.reached(base, result, single)
        for bug in self._showing(result.case):
            if bug.place not in taken:  # in the place of another it may do more
                others = frozenset(each for each in base if each.place != bug.place)
                yield from self._if_further(others | {bug}, before, result, single)
        if not edits_too:
            return
        for edits in edits_for(
            [result.case.data], conventions, narrow=narrow, only_plain=True, scaled=True
        ):
            if self.steps > STEPS * 3 // 5:
                self.limited = True
                return
            bugs = self._on_top(base, edits, [result], ())
            yield from self._if_further(bugs, before, result, single)

    def _if_further(
        self, bugs: Bugs, before: float, result: Result, single: bool
    ) -> Iterator[Bugs]:
        if bugs and self.reached(bugs, result, single) > before:
            yield bugs

    def _others(
        self, found: list[Bugs], results: Sequence[Result], single: bool
    ) -> list[Bugs]:
        """Exchange a bug for another of its place where that explains as much."""
        first, *_ = found
        rest = [r for r in results if self.same(first, r, single)]
        own = first - self.conventions
        for lost in (*own, None):  # best is to need one less
            others = [
                first - {lost, bug} | {other}
                for bug in own - {lost}
                for other in KNOWN
                if other.place == bug.place and other != bug
            ]
            if more := self.whole(others, rest, single=single):
                if lost is not None:
                    return self._others(more, results, single)
                found = list(dict.fromkeys([*found, *more]))
        return found

    def _features(self, result: Result) -> frozenset[str]:
        """Return what a check has that a cause may need to show."""
        data, mismatches = result.case.data, result.verdict and result.verdict.mismatches
        of = {*_NEEDS, *(level["inner_state"] for level in data["lookahead"])}
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

    def needed(self, bugs: Bugs, results: Sequence[Result], *, single: bool) -> Bugs:
        """Leave out the bugs without which as much is explained."""
        for bug in sorted(bugs - self.conventions, key=rank, reverse=True):
            rest = [r for r in results if self.same(bugs, r, single)]
            if all(self.same(bugs - {bug}, each, single) for each in rest):
                bugs -= {bug}
        return bugs

    def whole(
        self, found: Sequence[Bugs], results: Sequence[Result], *, single: bool
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
            taken = {each.place for each in bugs}
            for bug in self._showing(missed.case):
                new = bugs | {bug}
                if bug.place not in taken and (
                    more == 1 or self._matters(bugs, new, missed, single)
                ):
                    yield from self._with(new, results, more - 1, single, tried)

    def _matters(self, bugs: Bugs, new: Bugs, result: Result, single: bool) -> bool:
        """Return whether what is new shows where the others leave what was observed."""
        before, after = (self.reached(each, result, single) for each in (bugs, new))
        at = [self._left.get((id(result), self._in(b, result.case))) for b in (bugs, new)]
        return after > before or (after == before and (before >= 0.5 or at[0] != at[1]))

    def edited(
        self,
        bases: Sequence[Bugs],
        results: Sequence[Result],
        *,
        single: bool,
        narrow: bool | None = None,
        plain: bool = False,
        every: bool = False,
        most: int = STEPS,
    ) -> list[Bugs]:
        """Find the plainest edits of the oracle that explain all, on top of some bugs."""
        simple = _plain(results)
        simple = simple if fails(simple) and not every else list(results)
        failed = [r for r in simple if r.status == "failed"]
        # The bugs may explain some of them already.
        failed = [r for r in failed if not self.same(bases[0], r, single)] or failed
        passed = _without(simple, failed)
        some = [part[:: 1 + len(part) // _SAMPLE] for part in (failed, passed)]
        order = [*some[0], *some[1], *simple]
        if narrow is None and _is_rounding(failed, passed):
            limits: Any = {"plain": plain, "every": every, "most": most}
            found = self.edited(bases, results, single=single, narrow=True, **limits)
            if self.whole(found, results, single=single):
                return found
        conventions = {bug for base in bases for bug in base if bug in CONVENTIONS}
        found, partly = list[Bugs](), list[Bugs]()
        self.searching = True
        firsts = [r.verdict.mismatches[0].where for r in failed if r.verdict]
        loaded = all("after loading" in where for where in firsts)
        cases = [r.case.data for r in failed]
        for edits in edits_for(
            cases,
            conventions,
            narrow=bool(narrow),
            loaded=loaded,
            fitting=lambda edit: self._parts(bases[0], edit, failed),
            only_plain=plain,
        ):
            if self.steps > most:
                self.limited = True
                break
            if len(found) >= _TOLD or (found and edits[0].rank > _plainest(found)):
                break
            if not self._broken.isdisjoint(edits[0].__mro__[1:]):
                continue
            for base in bases:
                bugs = self._on_top(base, edits, failed, found)
                if bugs and all(self.same(bugs, each, single) for each in order):
                    if self.whole([bugs], results, single=single):
                        found.append(bugs)
                    elif not all(self.same(base, each, single) for each in order):
                        partly.append(bugs)
        self.searching = False
        clauses = Counter(r.case.data["clause"] for r in failed)
        distinct: dict[str, Bugs] = {}
        partly.sort(key=lambda bugs: -sum(self.same(bugs, r, single) for r in results))
        for bugs in found or partly:
            distinct.setdefault(self._behaviour(bugs, results), bugs)
        told = list(distinct.values())[:_TOLD]
        clause, count = clauses.most_common(1)[0]
        if 2 * count > clauses.total():
            own = {bug: _cited(bug, clause) for bugs in told for bug in bugs}
            told = [frozenset(own[bug] for bug in bugs) for bugs in told]
        return told

    def _behaviour(self, bugs: Bugs, results: Sequence[Result]) -> str:
        """Return what bugs do in the cases, to the bit."""
        runs = (
            self._done.get((each.case.id, self._in(bugs, each.case))) for each in results
        )
        return str([{n: x.tobytes() for n, (_, x) in (run or {}).items()} for run in runs])

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
            return self._fitted(base, edits[0], failed)
        return base.union(edits)

    def _parts(
        self, base: Bugs, edit: type[Edit], failed: Sequence[Result]
    ) -> Iterator[str]:
        """Yield which tensors or elements it may be of, from those that are as observed."""
        # No element depends on others there.
        some = [r for r in failed if r.case.data["problem"]["kind"] != "quadratic"]
        some = [r for r in some if sum(map(prod, r.case.shapes)) > 1]
        if not some:
            return
        result, case = some[0], some[0].case
        observed, slack = self._observed(result), self._slack(case, result.dtype)
        data, shapes = case.data, [*map(list, case.shapes)]
        count = data.get("workers", 1)
        fits = []
        for bugs in (base | {edit}, base):
            watch = self._counted(lambda *_: None)
            try:
                simulated = simulated_values(case, bugs, watch)
            except BrokenError:
                self._broken |= bugs
                return
            if simulated is None:
                return
            fits.append(matching(observed, simulated, slack, result.dtype))
        for words, (need, _) in CHOICES.items():
            which = chosen(words, shapes[: len(shapes) // count], []) * count
            flat = np.concatenate(
                [np.broadcast_to(w, prod(s)) for w, s in zip(which, shapes, strict=True)]
            )
            fit = need == "no-gradient" or np.all(np.where(flat, *fits))
            if fit and (not need or has(need, data)):
                yield words

    def _fitted(self, base: Bugs, edit: type[Edit], failed: Sequence[Result]) -> Bugs:
        """Find an edit's constant from one check; return nothing if it has none."""
        exact = [each for each in failed if each.dtype == "float64"]
        result = (exact or failed)[0]
        if result.verdict is None or edit.fitted is None:
            return frozenset()
        first, fitted = result.verdict.mismatches[0], edit.fitted

        def missed(constant: float) -> float:
            bugs = base | {fitted(constant)}
            found = (
                simulated_values(result.case, bugs, self._counted(lambda *_: None)) or {}
            )
            steps, values = found[first.where]
            return float(values[steps == first.step, first.element][0]) - first.got

        try:
            a, b = 1.0, 0.5
            at_a, at_b = missed(a), missed(b)
            for _ in range(8):
                if at_a == at_b or abs(at_b) < 1e-13 * abs(first.got):
                    break
                a, b, at_a = b, b - at_b * (b - a) / (at_b - at_a), at_b
                at_b = missed(b)
        except (DiffersError, KeyError, ArithmeticError, IndexError):
            return frozenset()
        near = float(f"{b:.3g}")
        constant = near if abs(near - b) < 1e-4 * abs(b) else b
        if not abs(constant) < 1e9 or abs(at_b) > 1e-5 * abs(first.got):
            return frozenset()
        return base | {fitted(constant)}

    def _counted(self, watch: Watch) -> Watch:
        """Count the steps of a simulation, and one more for its start."""
        self.steps += self.searching

        def counted(*step: Any) -> None:
            self.steps += self.searching
            watch(*step)

        return counted

    def narrow_arrays(self, results: Iterable[Result]) -> list[str]:
        """Name what holds only numbers of float32 wherever float64 fails."""
        narrow: dict[str, bool] = {}
        for result in (r for r in results if (r.status, r.dtype) == ("failed", "float64")):
            for name, (_, values) in self._observed(result).items():
                of = name.removesuffix(" after loading").replace("_", " ")
                of = "phi" if of.startswith(("slow weights", "evaluated")) else of
                with np.errstate(over="ignore"):
                    same = np.array_equal(values, np.float32(values), equal_nan=True)
                narrow[of] = narrow.get(of, True) and same
        slots = [name for name in narrow if name != "phi" and "weights" not in name]
        if slots and all(narrow[name] for name in slots):
            narrow = {n: x for n, x in narrow.items() if n not in slots} | {"slots": True}
        return [name for name in narrow if narrow[name]]

    # Whether a set explains a check.

    def _once(self, key: object, make: Callable[[], T]) -> T:
        if key not in self._done:
            self._done[key] = make()
        return cast("T", self._done[key])

    def _observed(self, result: Result, *, swapped: bool = False) -> Values:
        key = (id(result), swapped)
        return self._once(key, lambda: seen_values(result, swapped=swapped))

    def _slack(self, case: Case, dtype: str) -> Float64Array:
        return self._once((case.id, dtype), lambda: slack_of(case, dtype))

    def _showing(self, case: Case) -> dict[type[Bug], None]:
        """Return the bugs that can show in a case, in their order."""
        found = self._known.get(id(case))
        if found is None:
            met = {need for need in _NEEDS if has(need, case.data)}
            found = {bug: None for bug in KNOWN if met.issuperset(bug.needs)}
            self._known[id(case)] = found
        return found

    def _in(self, bugs: Bugs, case: Case) -> Bugs:
        """Leave out bugs that cannot show in a case: they simulate it as it is."""
        known = self._showing(case)
        return frozenset(
            bug
            for bug in bugs
            if (bug.applies(case.data) if issubclass(bug, Edit) else bug in known)
        )

    def same(self, bugs: Bugs, result: Result, single: bool) -> bool:
        """Return whether bugs explain a case, as exact as float32 if ``single``."""
        return self.reached(bugs, result, single) == 1

    def reached(self, bugs: Bugs, result: Result, single: bool) -> float:
        """Return how much of a case bugs explain, 1 if all of it."""
        showing = self._in(bugs, result.case)
        single = single and result.dtype == "float64"
        key = (id(result), showing, single)
        # It is asked a million times, and works a tenth of them.
        found: float | None = self._done.get(key)
        if found is None:
            found = self._done[key] = self._reached(showing, result, single=single)
        return found

    def _reached(self, bugs: Bugs, result: Result, *, single: bool) -> float:
        case, dtype = result.case, "float32" if single else result.dtype
        slack = self._slack(case, dtype)
        swapped = _WRITES_SWAPPED in bugs
        if tiny := _READS_SWAPPED in bugs:
            slack = 0 * slack
        observed = self._observed(result, swapped=swapped)
        if (case.id, bugs) not in self._done:
            rows = self._once((id(result), swapped, "rows"), lambda: rows_of(observed))
            try:
                watch = self._counted(watching(rows, slack, dtype))
                simulated = simulated_values(case, bugs, watch)
            except BrokenError:
                edits = [bug for bug in bugs if issubclass(bug, Edit)]
                self._broken.update(edits if len(edits) == 1 else ())
                return 0.0
            except DiffersError as error:
                self._left[id(result), bugs] = error.values
                steps = sum(name.startswith("fast weights") for name, _ in rows)
                return error.passed / (2 * steps + 1)
            self._done[case.id, bugs] = simulated
        simulated = self._done[case.id, bugs]
        if simulated is None:
            finite = (np.all(np.isfinite(each)) for _, each in observed.values())
            return float(not all(finite))
        if tiny and result.dtype == "float32":
            with np.errstate(over="ignore"):
                simulated = {
                    name: (steps, values.astype(np.float32).astype(np.float64))
                    for name, (steps, values) in simulated.items()
                }
        return 0.5 + agreeing(observed, simulated, slack, dtype) / 2


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


def _is_rounding(failed: Iterable[Result], passed: Iterable[Result]) -> bool:
    """Return whether it shows in float64 alone, as a rounding to float32 does."""
    some = [{each.dtype for each in part} for part in (failed, passed)]
    return some[0] == {"float64"} and "float32" in some[1]


def _is_common(results: Iterable[Result]) -> bool:
    """Return whether so much of float64 fails that it may be rounded to float32."""
    fine = [result for result in results if result.dtype == "float64"]
    failed = [result for result in fine if result.status == "failed"]
    rules = {result.case.data["inner"]["rule"] for result in failed}
    return 4 * len(failed) > sum(r.case.data["inner"]["rule"] in rules for r in fine)


def _plainest(found: Sequence[Bugs]) -> int:
    return min(bug.rank for bugs in found for bug in bugs if issubclass(bug, Edit))


def _what(bug: type[Bug]) -> str:
    """Return what it does, wherever it does so."""
    return bug.says.partition(", in ")[0]


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
