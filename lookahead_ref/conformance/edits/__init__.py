"""Small edits of the oracle's own code: hypotheses where no bug with a name explains all.

A place is a function of the oracle. Operators change one expression or statement
of it: they leave it out, put another of its kind there, scale it, or add a statement. An
edit is a `Bug` like any other, so that it goes together with those that have a name.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from lookahead_ref.conformance.bugs import conventions as conventions_of
from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import Bug, Edit, SimulatedInner
from lookahead_ref.conformance.edits.functions import edits_of
from lookahead_ref.conformance.edits.grammar import PLACES, Place
from lookahead_ref.conformance.edits.parts import PARTED, When, conditions, of_some, only
from lookahead_ref.conformance.edits.saved import APART, SAVED, SHARED

_STEPS = "OracleLookahead.step", "OracleWorkers.step"

__all__ = ["PLACES", "edits_for", "edits_of", "places_under"]


def edits_for(
    cases: Sequence[Mapping[str, Any]],
    conventions: Collection[type[Bug]],
    *,
    narrow: bool = False,
    loaded: bool = False,
    choices: Sequence[str] = (),
    worth: Callable[[type[Edit], When], bool] = lambda *_: True,
    only_plain: bool = False,
    scaled: bool = False,
    once: Iterable[type[Bug]] = (),
) -> Iterator[tuple[type[Edit], ...]]:
    """Yield the edits that can show in all cases, the plainest first."""
    # Where only float64 fails, edits that round something are enough: narrow. What shows
    # only after loading is in what is saved, or needs that condition: loaded. Some may be
    # of the `choices` of tensors or elements alone, some under conditions that are `worth`
    # it. With `scaled`, what is plain includes other sizes. Functions that are
    # edited `once` are so twice.
    case = cases[0]
    edited = [e.again() for e in once if issubclass(e, Edit) and e.again is not None]
    # Where no convention shows, its edits do what those of the function without it do.
    lacks = any(simulation.has("no-gradient", each) for each in cases)
    shown = [each for each in conventions if lacks or "no-gradient" not in each.needs]
    places = [
        place
        for place in (*places_under(shown), *edited)
        if all(
            simulation.has(need, case) or simulation.has(f"outer-{need}", case)
            for need in place.needs
        )
    ]
    every = [edit for place in places for edit in edits_of(place)]
    if not simulation.has("outer", case):
        every = [edit for edit in every if edit.parts.keys() != {SimulatedInner}]
    every += [*SHARED, *APART]
    # Thousands need one of a few dozen things.
    kinds = {(edit.needs, edit.either): edit for edit in every}
    shows = {kind: edit.applies(case) for kind, edit in kinds.items()}
    found = [edit for edit in every if shows[edit.needs, edit.either]]
    # A piece of what is saved may be of cases that are larger.
    saved = [edit for edit in SAVED if any(map(edit.applies, cases))]
    if narrow:
        found, saved = ([e for e in some if e.narrow] for some in (found, saved))
    # First those of what all the cases have, such as workers.
    common = {k: bool(e.needs) and all(map(e.applies, cases)) for k, e in kinds.items()}
    found.sort(key=lambda edit: edit.rank - 2 * common[edit.needs, edit.either])
    plain = [edit for edit in found if edit.fitted is None]
    # Several that have the same words do nearly the same: the others come later.
    firsts = {*{(edit.says, edit.place): edit for edit in reversed(plain)}.values()}
    simple = [e for e in plain if e.rank < 2 and (narrow or e in firsts)]
    loads = all(simulation.has("save", each) for each in cases)
    yield from ((edit,) for edit in saved if loads)
    yield from ((edit, apart) for edit in saved for apart in APART if loads)
    for two in combinations([edit for edit in saved if loads and edit.rank < 2], 2):
        if two[0].place != two[1].place:
            yield two
    if loaded and not only_plain:
        yield from _under_conditions(plain, case, worth, "save")
        for (edit,) in _under_conditions(simple, case, worth, "save"):
            yield from ((edit, apart) for apart in APART if edit.place != apart.place)
    yield from ((edit,) for edit in simple)
    yield from _twins(cases)
    if scaled:
        yield from ((edit,) for edit in plain if edit.rank == 2)
    if only_plain:
        return
    for edit in simple:
        if edit.title.endswith(PARTED):
            yield from ((of_some(edit, words),) for words in choices)
    tried = set(simple)
    yield from ((edit,) for edit in plain if edit not in tried)
    yield from _moved(found)
    yield from ((edit,) for edit in found if edit.fitted is not None)
    yield from _under_conditions(plain, case, worth)


def _under_conditions(
    edits: Sequence[type[Edit]],
    case: Mapping[str, Any],
    worth: Callable[[type[Edit], When], bool],
    *needed: str,
) -> Iterator[tuple[type[Edit], ...]]:
    for edit in edits:
        for when in conditions(edit):
            asked = set(when.needs)
            shows = all(simulation.has(x, case) for x in asked)
            if shows and asked.issuperset(needed) and worth(edit, when):
                yield (only(edit, when),)


def places_under(conventions: Collection[type[Bug]]) -> Iterator[Place]:
    """Yield the places, with those functions changed that a convention changes."""
    yield from PLACES
    for convention in sorted(conventions, key=lambda each: each.name):
        # With all gradients there these functions do as they did.
        own = [need for need in convention.needs if need != "no-gradient"]
        for place in (each for each in PLACES if not each.same):
            needs, name = (*place.needs, *own), place.function.__name__
            mixes: Any = convention.mixes
            changed = replace(place, needs=needs, convention=convention.place)
            for each in getattr(mixes, "__mro__", ()):
                function = vars(each).get(name)
                if each.__module__ == conventions_of.__name__ and function is not None:
                    beneath = [b for b in place.beneath if issubclass(mixes, b)]
                    yield replace(changed, function=function, beneath=tuple(beneath))
            for of, _, change in (edit.partition(": ") for edit in convention.edits):
                if place.title in (of.partition(".")[2], f"Oracle{of}"):
                    yield replace(changed, under=(change,), beneath=place.beneath[:1])
                elif of.partition(".")[2] in [method for _, method in place.uses]:
                    yield replace(changed, under=(change,))


def _twins(cases: Sequence[Mapping[str, Any]]) -> Iterator[tuple[type[Edit], ...]]:
    """Yield what is done in the step of one Lookahead and in that of several workers."""
    if any(simulation.has("workers", case) for case in cases):
        here, there = (next(p for p in PLACES if p.title == t) for t in _STEPS)
        both: dict[str, list[type[Edit]]] = {}
        for edit in (*edits_of(here), *edits_of(there)):
            words = edit.says.partition(", in ")[0].replace("workers' ", "")
            both.setdefault(words, []).append(edit)
        for two in both.values():
            if len({each.title for each in two}) == 2 and two[0].rank < 2:
                yield two[0], two[-1]


def _moved(edits: Sequence[type[Edit]]) -> Iterator[tuple[type[Edit], ...]]:
    """Yield what is left out at one place and done at another."""
    for lost in edits:
        what = lost.says.partition("does not raise ")[2].partition(",")[0]
        for done in edits if what else ():
            if f"raises {what}, " in done.says and done.place != lost.place:
                yield lost, done
