"""Which steps are wrong in themselves: each is computed from what was shown before it.

One mistake changes all that follows. Here what follows begins anew from what the program
has shown, so that it differs only in the steps that do something wrong themselves.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from math import isfinite, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import MEANINGS, STEPS, TRAITS
from lookahead_ref.conformance.bugs.simulation import (
    SimulatedLookahead,
    SimulatedProgram,
    State,
    has,
    parts_of,
    simulate,
)
from lookahead_ref.conformance.comparing import (
    Bugs,
    by_name_matching,
    in_order,
    rows_of,
    seen_values,
)
from lookahead_ref.conformance.edits.parts import CHOICES, chosen
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.oracle import Double, Step, Tensors
from lookahead_ref.conformance.vectors import slow_weights
from lookahead_ref.report.words import several


class Shown(NamedTuple):
    """A step of a case."""

    result: Result
    number: int  # counted from 1
    resumed: bool  # after loading
    cycle: int  # counted from 0
    is_first: bool  # of its cycle
    synchronized: bool
    names: set[str]  # of the quantities that are shown
    wrong: dict[str, NDArray[np.bool_]]  # by quantity, which elements

    @property
    def case(self) -> Mapping[str, Any]:
        return self.result.case.data

    def chosen(self, words: str) -> NDArray[np.bool_]:
        """Return which elements are of a choice of tensors or elements."""
        problem, count = self.case["problem"], self.case.get("workers", 1)
        shapes = [each["shape"] for each in self.case["params"]]
        tape = problem["gradients"][self.number - 1] if problem["kind"] == "tape" else []
        own = chosen(words, shapes[: len(shapes) // count], tape[: len(tape) // count])
        both = zip(own * count, map(prod, shapes), strict=True)
        return np.concatenate([np.broadcast_to(each, size) for each, size in both])


_CONDITIONS: dict[str, Callable[[Any], bool]] = {
    words: eval(f"lambda x: {holds}") for words, holds in STEPS.items()
} | {
    f"{of} {words}": lambda x, of=of, need=need: has(need, x.case) == (of == "with")
    for of in ("with", "without")
    for need, words in TRAITS.items()
}


def departures(results: Sequence[Result], bugs: Bugs) -> tuple[str, ...]:
    """Say which steps of a program are wrong beside some bugs, each by itself."""
    steps = [step for each in results for step in steps_of(each, bugs)]
    names = [name for name, _ in Counter(n for x in steps for n in x.wrong).most_common()]
    groups = ([n for n in names if ("weights" in n) == it] for it in (True, False))
    return tuple(_told(steps, some) for some in groups if some)


def _told(steps: Sequence[Shown], names: Sequence[str]) -> str:
    own = [x for x in steps if not x.names.isdisjoint(names)]
    wrong = [x for x in own if not x.wrong.keys().isdisjoint(names)]
    right = [x for x in own if x.wrong.keys().isdisjoint(names)]
    words: list[str] = []
    while right and len(words) < 4:  # or else nobody reads them
        holding = {
            each: [x for x in right if holds(x)]
            for each, holds in _CONDITIONS.items()
            if all(map(holds, wrong))
        }
        best = min(holding, key=lambda each: len(holding[each]), default="")
        if not best or len(holding[best]) > 0.9 * len(right):
            break
        words.append(best)
        right = holding[best]
    when = ", ".join(sorted(words, key=[*_CONDITIONS].index))
    known = {} if all(x.synchronized for x in wrong) else MEANINGS  # that may be it
    meaning = known.get(f"{names[0]} {when}", known.get(when, ""))
    count = several(len(wrong) + len(right), "step")
    some = f"{len(wrong)} of {count}" if right else f"{'all ' * (len(wrong) > 1)}{count}"
    which = next((f", {each}," for each in choices(wrong, names)), "")
    *rest, last = (name.replace("_", " ") for name in names)
    quantities = f"{', '.join(rest)} and {last}" if rest else last
    first = min(wrong, key=lambda x: x.result.case.size)
    return (
        f"wrong {quantities}{which} in {some}{when and f' {when}'}; the first is step "
        f"{first.number}{' after loading' * first.resumed} of {first.result.case.id} "
        f"({first.result.dtype}){meaning and f'. So {meaning}'}"
    )


def choices(steps: Sequence[Shown], names: Container[str]) -> Iterator[str]:
    """Yield the words for elements of which most, and no others, are wrong."""
    wrong = [(x, [x.wrong[n] for n in x.wrong if n in names]) for x in steps if x.wrong]
    for words in CHOICES:
        beyond, partly = 0.0, False
        for step, some in wrong:
            of = step.chosen(words)
            if any(np.any(each & ~of) for each in some):
                break
            beyond += sum(float(each.sum()) - 0.8 * float(of.sum()) for each in some)
            partly |= bool(some) and not np.all(of)
        else:
            if partly and beyond >= 0:
                yield words


def steps_of(result: Result, bugs: Bugs) -> Iterator[Shown]:
    """Compute each step of a case from what was shown before it."""
    case, ends = result.case, [0, *accumulate(map(prod, result.case.shapes))]
    observed = seen_values(result, swapped=False)
    rows, should = rows_of(observed), dict[tuple[str, int], list[float]]()
    found = dict[tuple[str, int], Shown]()

    class Anew(SimulatedProgram):
        suffix, cycle, is_first, saved_at = "", 0, True, (0, True)

        def restore(self, levels: list[Any], state: State) -> Tensors:
            self.suffix, (self.cycle, self.is_first) = " after loading", self.saved_at
            return super().restore(levels, state)

        def step(self, levels: list[Any], theta: Tensors, t: int) -> tuple[Step, Tensors]:
            shown, theta = super().step(levels, theta, t)
            synchronized = any(shown.synchronized)
            at = t + 1, bool(self.suffix), self.cycle, self.is_first, synchronized
            found[self.suffix, t + 1] = Shown(result, *at, set(), {})
            self.cycle, self.is_first = self.cycle + synchronized, synchronized
            if t + 1 == case.save_after:
                self.saved_at = self.cycle, self.is_first
            lookaheads = [x for x in parts_of(levels) if isinstance(x, SimulatedLookahead)]
            anchored = [each for each in lookaheads if each.anchor is each.slots]
            kept = _named(theta, [level.phi for level in levels], levels[0].slots)
            for name, values in _named(shown.fast, shown.slow, shown.slots).items():
                key = f"{name}{self.suffix}", t + 1
                should[key] = values
                got = rows.get(key, [])
                if not all(map(isfinite, got)):
                    raise ArithmeticError("nothing can be computed from it")
                # What is shown may be something else, with some bugs.
                if got and values == kept[name]:
                    tensors = [got[start:end] for start, end in pairwise(ends)]
                    theta = tensors if name == "fast weights" else theta
                    _put(levels, name, tensors)
            for each in anchored:
                each.anchor = each.slots
            return shown, theta

    with suppress(Exception):  # an edit may be of what is not there
        run = simulate(case.data, Double(), in_order(bugs), around=Anew)
        for number, weights in run.evaluations.items():
            should["evaluated weights", number] = [x for xs in weights for x in xs]
    expected = case.outcomes[0].quantities
    for name, (steps, got) in observed.items():
        of, loaded, _ = name.partition(" after loading")
        numbers = [n for n in steps.tolist() if (name, n) in should and of in expected]
        kept = np.isin(steps, numbers)
        own = np.array([should[name, n] for n in numbers]).reshape(got[kept].shape)
        slack = expected.get(of, expected["fast weights"]).tolerance[result.dtype, "strict"]
        seen, simulated = ({name: (steps[kept], values)} for values in (got[kept], own))
        ((_, same),) = by_name_matching(seen, simulated, slack, result.dtype)
        for number, right in zip(numbers, same, strict=True):
            found[loaded, number].names.add(of)
            if not np.all(right):
                found[loaded, number].wrong[of] = ~right
    yield from found.values()


def _named(fast: Tensors, slow: Sequence[Tensors], slots: Any) -> dict[str, list[float]]:
    of_levels = {slow_weights(level): each for level, each in enumerate(slow)}
    every = {"fast weights": fast, **of_levels, **slots}
    return {name: [x for xs in each for x in xs] for name, each in every.items()}


def _put(levels: list[Any], name: str, tensors: Tensors) -> None:
    """Replace phi or a slot, of one Lookahead or of all workers."""
    places = {slow_weights(level): [each] for level, each in enumerate(levels)}
    some = getattr(levels[0], "workers", places.get(name, levels[:1]))
    for each, own in zip(some, oracle.parted(tensors, len(some)), strict=True):
        if name in places:
            each.phi = own
        elif name in each.slots:
            each.slots = {**each.slots, name: own}
