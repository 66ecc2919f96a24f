"""Small edits of the oracle's own code: hypotheses where no bug with a name explains all.

A place is a function of the oracle. Operators change one expression or statement
of it: they leave it out, put another of its kind there, scale it, or add a statement. An
edit is a `Bug` like any other, so that it goes together with those that have a name.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import Edit, SimulatedInner
from lookahead_ref.conformance.edits.functions import edits_of
from lookahead_ref.conformance.edits.grammar import PLACES
from lookahead_ref.conformance.edits.parts import PARTED, WHICH, conditions, of_some, only
from lookahead_ref.conformance.edits.saved import SAVED

__all__ = ["PLACES", "edits_for", "edits_of"]


def edits_for(case: Mapping[str, Any]) -> Iterator[tuple[type[Edit], ...]]:
    """Yield the edits that can show in a case, the plainest first."""
    places = [
        place
        for place in PLACES
        if all(
            simulation.has(need, case) or simulation.has(f"outer-{need}", case)
            for need in place.needs
        )
    ]
    found = [edit for place in places for edit in edits_of(place) if edit.applies(case)]
    if not simulation.has("outer", case):
        found = [edit for edit in found if edit.parts.keys() != {SimulatedInner}]
    found.sort(key=lambda edit: edit.rank)
    yield from ((edit,) for edit in found if edit.fitted is None)
    yield from _moved(found)
    if simulation.has("save", case):
        saved = [edit for edit in SAVED if edit.applies(case)]
        yield from ((edit,) for edit in saved)
        yield from (two for two in combinations(saved, 2) if two[0].place != two[1].place)
    for words, (need, _) in WHICH.items() if simulation.has("several", case) else ():
        if simulation.has(need, case):
            for edit in found:
                if edit.rank < 2 and edit.title.endswith(PARTED) and edit.fitted is None:
                    yield (of_some(edit, words),)
    yield from ((edit,) for edit in found if edit.fitted is not None)
    for edit in (edit for edit in found if edit.fitted is None):
        for when in conditions(edit):
            if all(simulation.has(need, case) for need in when.needs):
                yield (only(edit, when),)


def _moved(edits: Sequence[type[Edit]]) -> Iterator[tuple[type[Edit], ...]]:
    """Yield what is left out at one place and done at another."""
    for lost in edits:
        what = lost.says.partition("does not raise ")[2].partition(",")[0]
        for done in edits if what else ():
            if f"raises {what}, " in done.says and done.place != lost.place:
                yield lost, done
