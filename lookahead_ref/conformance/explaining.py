"""Whether a set of bugs and edits explains a check: simulations beside what is observed."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from lookahead_ref.conformance.bugs import KNOWN, Bug, by_name
from lookahead_ref.conformance.bugs.simulation import Edit, Watch, has
from lookahead_ref.conformance.comparing import (
    CAST,
    SINGLE,
    BrokenError,
    Bugs,
    DiffersError,
    Values,
    agreeing,
    rows_of,
    seen_values,
    simulated_values,
    slack_of,
    watching,
)
from lookahead_ref.conformance.judging import Result, wide
from lookahead_ref.conformance.oracle import Arithmetic, Double
from lookahead_ref.conformance.vectors import Case, Float64Array

T = TypeVar("T")

NEEDS = frozenset().union(*(bug.needs for bug in KNOWN))
SWAPPED = [by_name(f"{way}-bits-swapped") for way in ("reads", "writes")]
_READS, _WRITES = SWAPPED
_DOUBLE = Double()


class Simulations:
    """What sets of bugs do in the cases; nothing is simulated twice."""

    def __init__(self) -> None:
        self._done: dict[object, Any] = {}
        self._known: dict[int, dict[type[Bug], None]] = {}
        self.all_steps = self.steps = 0  # simulated: in all, and while edits are tried
        self.searching = False
        self.broken: set[type[Bug]] = set()
        # After how many steps it differed, and the weights there.
        self.left: dict[object, tuple[float, ...]] = {}

    def _once(self, key: object, make: Callable[[], T]) -> T:
        if key not in self._done:
            self._done[key] = make()
        return cast("T", self._done[key])

    def observed(self, result: Result, *, swapped: bool = False) -> Values:
        key = (id(result), swapped)
        return self._once(key, lambda: seen_values(result, swapped=swapped))

    def slack(self, case: Case, dtype: str) -> Float64Array:
        return self._once((case.id, dtype), lambda: slack_of(case, dtype))

    def showing(self, case: Case) -> dict[type[Bug], None]:
        """Return the bugs that can show in a case, in their order."""
        found = self._known.get(id(case))
        if found is None:
            met = {need for need in NEEDS if has(need, case.data)}
            found = {bug: None for bug in KNOWN if met.issuperset(bug.needs)}
            self._known[id(case)] = found
        return found

    def within(self, bugs: Bugs, case: Case) -> Bugs:
        """Leave out bugs that cannot show in a case: they simulate it as it is."""
        known = self.showing(case)
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
        showing = self.within(bugs, result.case)
        single = single and result.dtype == "float64"
        key = (id(result), showing, single)
        # It is asked a million times, and works a tenth of them.
        found: float | None = self._done.get(key)
        if found is None:
            found = self._done[key] = self._reached(showing, result, single=single)
        return found

    def right_steps(self, bugs: Bugs, result: Result, single: bool) -> float:
        """Return after how many steps a check is no longer as bugs would have it."""
        self.reached(bugs, result, single)
        found = self.left.get((id(result), self.within(bugs, result.case)), (np.inf,))
        return found[0]

    def _reached(self, bugs: Bugs, result: Result, *, single: bool) -> float:
        misread = result.dtype == "float32" and _READS in bugs
        found = self._agreeing(bugs, result, single, SINGLE if misread else _DOUBLE)
        # In float32 an error of beta2 is a large one of the bias correction.
        if result.dtype == "float32" and 0.5 < found < 1:
            found = max(found, self._agreeing(bugs, result, single, CAST))
        return found

    def _agreeing(
        self, bugs: Bugs, result: Result, single: bool, arithmetic: Arithmetic
    ) -> float:
        case, dtype = result.case, "float32" if single else result.dtype
        slack = self.slack(case, dtype)
        swapped = _WRITES in bugs
        if _READS in bugs:
            slack = 0 * slack
        observed = self.observed(result, swapped=swapped)
        if (key := (case.id, bugs, id(arithmetic))) not in self._done:
            rows = self._once((id(result), swapped, "rows"), lambda: rows_of(observed))
            watch = watching(rows, slack, dtype)
            try:
                simulated = self._simulated(case, bugs, watch, arithmetic)
            except BrokenError:  # by an edit that cannot run alone, not by those beside it
                edits = [bug for bug in bugs if issubclass(bug, Edit)]
                self.broken.update(edits if len(edits) == 1 else ())
                return 0.0
            except DiffersError as error:
                self.left[id(result), bugs] = error.passed, *error.values
                steps = sum(name.startswith("fast weights") for name, _ in rows)
                return error.passed / (2 * steps + 1)
            self._done[key] = simulated
        simulated = self._done[key]
        if simulated is None:
            finite = (np.all(np.isfinite(each)) for _, each in observed.values())
            return 0.5 * (not all(finite))  # what it was instead is not told
        return 0.5 + agreeing(observed, simulated, slack, dtype) / 2

    def _simulated(
        self,
        case: Case,
        bugs: Bugs,
        watch: Watch = lambda *_: None,
        arithmetic: Arithmetic = _DOUBLE,
    ) -> Values | None:
        """Simulate a case, and count its steps, and one more for its start."""

        def counted(*step: Any) -> None:
            self.all_steps += 1
            self.steps += self.searching
            if step:
                watch(*step)

        counted()
        return simulated_values(case, bugs, counted, arithmetic)

    def behaviour(self, bugs: Bugs, results: Sequence[Result]) -> str:
        """Return what bugs do in the cases, to the bit."""
        runs = (
            self._done.get((each.case.id, self.within(bugs, each.case), id(_DOUBLE)))
            for each in results
        )
        return str([{n: x.tobytes() for n, (_, x) in (run or {}).items()} for run in runs])

    def fitted(self, base: Bugs, edit: type[Edit], failed: Sequence[Result]) -> Bugs:
        """Find an edit's constant from one check; return nothing if it has none."""
        exact = [each for each in failed if each.dtype == "float64"]
        result = (exact or failed)[0]
        if result.verdict is None or edit.fitted is None:
            return frozenset()
        first, fitted = result.verdict.mismatches[0], edit.fitted

        def missed(constant: float) -> float:
            found = self._simulated(result.case, base | {fitted(constant)}) or {}
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

    def narrow_arrays(self, results: Iterable[Result]) -> list[str]:
        """Name what holds only numbers of float32 wherever float64 fails."""
        narrow: dict[str, bool] = {}
        for result in (r for r in results if (r.status, r.dtype) == ("failed", "float64")):
            for name, (_, values) in self.observed(result).items():
                of = name.removesuffix(" after loading").replace("_", " ")
                of = "phi" if of.startswith(("slow weights", "evaluated")) else of
                narrow[of] = narrow.get(of, True) and not wide(values).any()
        slots = [name for name in narrow if name != "phi" and "weights" not in name]
        if slots and all(narrow[name] for name in slots):
            narrow = {n: x for n, x in narrow.items() if n not in slots} | {"slots": True}
        return [name for name in narrow if narrow[name]]
