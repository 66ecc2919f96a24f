"""Edits under a condition, and edits of some tensors alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import (
    Edit,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
)
from lookahead_ref.conformance.edits.grammar import OF_LOOKAHEAD, OF_RULES, TABLES


@dataclass(frozen=True)
class When:
    """A condition under which alone an edit takes effect."""

    words: str
    holds: Callable[[Any], bool]  # of a Lookahead, of an optimizer or, in a rule, of t
    of: Any = SimulatedLookahead
    needs: tuple[str, ...] = ()

    def is_worth(self, case: Mapping[str, Any], without: float, alone: float) -> bool:
        """Return whether it can let an edit explain a case that it does not alone."""
        # From the steps after which the case differs without the edit, and with it.
        levels, word = case["lookahead"], self.words.partition(" it ")[0]
        if len(levels) == 1 and word in ("if", "unless", "where the inner optimizer"):
            return False
        span = levels[0]["k"] if "cycle" in self.words else 1
        later, first = map(self.words.startswith, ("from the second", "in the first "))
        return not (later and without < span) and not (first and alone < span)


_OF = {"Lookahead": SimulatedLookahead, "inner": SimulatedInner, "element": "element"}
LOADED = When("after a state is loaded", lambda x: not x.made_anew, needs=("save",))
_CONDITIONS = (
    LOADED,
    replace(LOADED, of=SimulatedInner),
    *(
        When(words, eval(f"lambda x: {holds}"), _OF.get(each["of"]), tuple(needs))
        for each in TABLES["conditions"]
        for words, holds, *needs in each["when"]
    ),
)


def only(edit: type[Edit], when: When) -> type[Edit]:
    """Return an edit that takes effect under a condition alone."""

    def own(origin: Any, name: str, made: Any) -> dict[str, Any]:
        if name != "rules":
            return {name: _either(when.holds, made, vars(origin)[name], 0)}
        if when.of is not None:
            return {name: made, "step": _ruled(when.holds, made, origin.step)}
        right = origin.rules
        return {
            name: {
                each: (_either(when.holds, rule, right[each][0], 1), slots)
                for each, (rule, slots) in made.items()
            }
        }

    return _limited(edit, when.words, when.needs, 3, own)


def _limited(
    edit: type[Edit],
    words: str,
    needs: tuple[str, ...],
    rank: int,
    own: Callable[[Any, str, Any], dict[str, Any]],
) -> type[Edit]:
    """Return an edit whose changed functions are replaced: by class, name and function."""
    parts = {}
    for base, part in edit.parts.items():
        origin: Any = part.__bases__[0]
        of_part: dict[str, Any] = {}
        for name, made in vars(part).items():
            if not name.startswith("__"):
                of_part |= own(origin, name, made)
        parts[base] = type(part.__name__, (origin,), of_part)
    attributes = {
        "says": f"{edit.says}, {words}",
        "needs": (*edit.needs, *needs),
        "parts": parts,
        "rank": edit.rank + rank,
        "again": None,
    }
    return type("Edit", (edit,), attributes)


def _either(holds: Callable[[Any], bool], edited: Any, right: Any, of: int) -> Any:
    def function(*arguments: Any) -> Any:
        return (edited if holds(arguments[of]) else right)(*arguments)

    return function


def _elements(
    holds: Callable[..., bool], i: int, shape: list[int], n: int, _: bool
) -> list[bool]:
    """Choose elements of a tensor."""
    rows = shape[0] if shape else 1
    return [holds(i, n, j, prod(shape), rows) for j in range(prod(shape))]


Chosen = Callable[[int, list[int], int, bool], bool | list[bool]]
WHICH: dict[str, tuple[str, Chosen]] = {
    words: (need, eval(f"lambda i, shape, n, has: {holds}", {"prod": prod}))
    for words, (need, holds) in TABLES["which"].items()
}
CHOICES = WHICH | {
    words: ("", partial(_elements, eval(f"lambda i, n, j, size, rows: {holds}")))
    for words, holds in TABLES["elements"].items()
}
"""Tensors, or elements of them."""


def chosen(words: str, shapes: list[list[int]], grads: list[Any]) -> list[Any]:
    """Choose tensors or elements of them; whether with a gradient, if that is known."""
    _, which = CHOICES[words]
    has = [g is not None for g in grads] or [True] * len(shapes)
    each = zip(shapes, has, strict=True)
    return [which(i, shape, len(shapes), g) for i, (shape, g) in enumerate(each)]


PARTED = ("synchronize", "interpolate", "follow", "step", "restart", "evaluate", "loaded")


def of_some(edit: type[Edit], words: str) -> type[Edit]:
    """Return an edit that is of some tensors alone."""
    need, _ = CHOICES[words]

    def own(origin: Any, name: str, made: Any) -> dict[str, Any]:
        return {name: _picking(words, made, getattr(origin, name))}

    limited = _limited(edit, words, (need,) if need else (), 2, own)
    limited.clause = "LA-30"
    return limited


def _picking(words: str, edited: Any, right: Any) -> Any:
    def function(this: Any, *arguments: Any) -> Any:
        level = arguments[0] if isinstance(this, SimulatedProgram) else this
        holders = _holders(level)
        before = [simulation.kept_of(each) for each in holders]
        given = edited(this, *arguments)
        after = [simulation.kept_of(each) for each in holders]
        for each, kept in zip(holders, before, strict=True):
            vars(each).update(kept)
        new = right(this, *arguments)
        case = holders[-1].case
        shapes = [each["shape"] for each in case["params"]]
        own = shapes[: len(shapes) // case.get("workers", 1)]
        which = chosen(words, own, list(getattr(holders[0], "grads", ())))
        for each, found in zip(holders, after, strict=True):
            vars(each).update(
                {
                    name: mixed(which, found[name], kept)
                    for name, kept in simulation.kept_of(each).items()
                }
            )
        return mixed(which, given, new)

    return function


def _holders(level: Any) -> list[Any]:
    """Return what holds state: Lookaheads, outer optimizers and, last, the inner one."""
    if not isinstance(level, SimulatedLookahead):
        return [level]
    return [level, *([level.outer] if level.outer else ()), *_holders(level.inner)]


def mixed(which: list[bool], these: Any, others: Any) -> Any:
    if isinstance(these, dict):
        return {n: mixed(which, each, others[n]) for n, each in these.items()}
    if isinstance(these, tuple):
        return tuple(mixed(which, *each) for each in zip(these, others, strict=True))
    if isinstance(these, list):
        return simulation.picked(which, these, others)
    return others


def _ruled(holds: Callable[[Any], bool], rules: Any, step: Any) -> Any:
    right = {rule: oracle.RULES[name][0] for name, (rule, _) in rules.items()}

    def function(this: Any, *arguments: Any) -> Any:
        edited = this.rule
        if not holds(this):
            this.rule = right[edited]
        new = step(this, *arguments)
        this.rule = edited
        return new

    return function


def conditions(edit: type[Edit]) -> Iterator[When]:
    base = next(iter(edit.parts))
    if edit.title.startswith("what is"):
        return
    if edit.title.endswith("__init__") or not issubclass(base, (*OF_LOOKAHEAD, *OF_RULES)):
        return
    places: tuple[Any, ...] = (SimulatedLookahead,)
    if base is not SimulatedLookahead:
        places = ("element",) if edit.title.endswith("element") else (SimulatedInner,)
        places += () if "." in edit.title else (None,)
    yield from (each for each in _CONDITIONS if each.of in places)
