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
    agree,
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

# All sets of so many bugs are tried on top of what explains other checks already. Where
# that is too few, so many checks and the best of what explains one of them lead to more.
AT_ONCE, _SAMPLE, _KEPT = 2, 6, 8

# Where nothing with a name explains all, edits of the oracle are tried for so many steps of
# simulations, about eight seconds of one core; so many that explain it equally are told.
STEPS, _TOLD = 100_000, 3


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
        self.supposed = [frozenset(each) for each in known]
        self.conventions = frozenset(each for some in known for each in some)

    def few(self, results: Sequence[Result], most: int) -> tuple[list[Bugs], bool]:
        """Find the sets of so few bugs that explain all; whether in float32 only."""
        plain = _plain(results)
        coarse = any(result.dtype == "float64" for result in results)
        coarse = coarse and (self.is_narrow or most > 1)
        # First with all that is expected of float64; failing that, of no more than float32.
        for single in (False, True) if coarse else (False,):
            for selection in (results, plain) if len(plain) < len(results) else (results,):
                if fails(selection):
                    found = self._grown(self.supposed, selection, most, single=single)
                    if found and (single or found[0] not in self.supposed):
                        return found, single
        return [], False

    def many(
        self,
        failing: dict[str, list[Result]],
        explained: Sequence[Result],
        *,
        single: bool,
    ) -> tuple[list[Bugs], list[str]]:
        """Find more bugs, a profile on top of others; return also which are explained."""
        bases, names, tried = self.supposed, [], False
        for name, part in failing.items():
            plain = _plain(part)
            for some in (part, plain) if fails(plain) else (part,):
                results = [*some, *explained]
                if found := self._grown(bases, results, single=single):
                    break
            if not found and not tried:
                tried = True  # once: it takes time
                best = self._partly(bases, results, single=single)
                found = self._grown(best, results, single=single)
            if found:
                bases, explained = found[:_KEPT], results
                names.append(name)
        return bases, names

    def rest(
        self, found: list[Bugs], results: Sequence[Result], *, single: bool
    ) -> list[Bugs]:
        """Explain by one more bug, or a plain edit, where those found cannot show."""
        rest = [r for r in results if not any(self.same(s, r, single) for s in found)]
        shown = [self._in(found[0], r.case).difference(CONVENTIONS) for r in rest]
        if not fails(rest) or all(shown):
            return found
        order = [*rest, *_without(results, rest)]
        more = self._grown(found, order, 1, single=single) or self.edited(
            found, order, single=single, plain=True, every=True
        )
        return self.whole(more, results, single=single) or found

    def needed(self, bugs: Bugs, results: Sequence[Result], *, single: bool) -> Bugs:
        """Leave out the bugs without which the results are explained as well."""
        for bug in sorted(bugs - self.conventions, key=rank):
            if all(self.same(bugs - {bug}, each, single) for each in results):
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
                if bug.place not in taken:
                    yield from self._with(bugs | {bug}, results, more - 1, single, tried)

    def _partly(
        self, bases: Iterable[Bugs], results: Sequence[Result], *, single: bool
    ) -> list[Bugs]:
        """Find what explains some failed checks by themselves, the best of it."""
        failed = [r for r in results if r.status == "failed"]
        sample = failed[:: 1 + len(failed) // _SAMPLE]
        found = {
            bugs: sum(self.same(bugs, each, single) for each in sample)
            for result in sample
            for bugs in self._grown(bases, [result], single=single)
        }
        return sorted(found, key=lambda bugs: -found[bugs])[:_KEPT]

    def edited(
        self,
        bases: Sequence[Bugs],
        results: Sequence[Result],
        *,
        single: bool,
        narrow: bool = False,
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
        # What shows in float64 alone is a rounding to float32.
        narrow = narrow or (
            {r.dtype for r in failed} == {"float64"}
            and any(r.dtype == "float32" for r in passed)
        )
        conventions = {bug for base in bases for bug in base if bug in CONVENTIONS}
        found: list[Bugs] = []
        partly: list[Bugs] = []
        self.searching = True
        firsts = [r.verdict.mismatches[0].where for r in failed if r.verdict]
        loaded = all("after loading" in where for where in firsts)
        cases = [r.case.data for r in failed]
        for edits in edits_for(
            cases,
            conventions,
            narrow=narrow,
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
                    whole = self.whole([bugs], results, single=single)
                    (found if whole else partly).append(bugs)
        self.searching = False
        clauses = Counter(r.case.data["clause"] for r in failed)
        distinct: dict[str, Bugs] = {}
        for bugs in found or partly:
            distinct.setdefault(self._behaviour(bugs, results), bugs)
        told = list(distinct.values())[:_TOLD]
        clause, count = clauses.most_common(1)[0]
        if 2 * count > clauses.total():
            own = {bug: _cited(bug, clause) for bugs in told for bug in bugs}
            told = [frozenset(own[bug] for bug in bugs) for bugs in told]
        return told

    def nearest(self, bases: Iterable[Bugs], results: Sequence[Result]) -> Bugs:
        """Add the plain edit that explains the most of what some bugs leave over."""
        nearest, most, begun, self.searching = frozenset[type[Bug]](), 0, self.steps, True
        for base in bases:
            rest = [r for r in results if not self.same(base, r, False)]
            left = [r for r in rest if r.status == "failed"]
            others = _without(results, rest)
            sample = [left[0], left[len(left) // 2], left[-1]]
            ends = [r.case.data for r in (left[0], left[-1])]
            conventions = base.intersection(CONVENTIONS)
            some = [
                edits
                for case in ends
                for edits in edits_for([case], conventions, only_plain=True)
            ]
            for edits in dict.fromkeys(some):
                bugs = self._on_top(base, edits, left, ())
                if self.steps - begun > STEPS // 2 or not bugs:
                    continue
                if any(self.same(bugs, r, False) for r in sample) and all(
                    self.same(bugs, r, False) for r in others
                ):
                    count = sum(self.same(bugs, r, False) for r in left)
                    if count > most:
                        nearest, most = bugs, count
        self.searching = False
        return nearest

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
        showing = self._in(bugs, result.case)
        single = single and result.dtype == "float64"
        key = (id(result), showing, single)
        # It is asked a million times, and works a tenth of them.
        found: bool | None = self._done.get(key)
        if found is None:
            found = self._done[key] = self._same(showing, result, single=single)
        return found

    def _same(self, bugs: Bugs, result: Result, *, single: bool) -> bool:
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
                self._broken |= bugs
                return False
            except DiffersError:
                return False
            self._done[case.id, bugs] = simulated
        simulated = self._done[case.id, bugs]
        if simulated is None:
            return not all(np.all(np.isfinite(each)) for _, each in observed.values())
        if tiny and result.dtype == "float32":
            with np.errstate(over="ignore"):
                simulated = {
                    name: (steps, values.astype(np.float32).astype(np.float64))
                    for name, (steps, values) in simulated.items()
                }
        return agree(observed, simulated, slack, dtype)


def fails(results: Sequence[Result]) -> bool:
    return bool(results) and results[0].status == "failed"


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
