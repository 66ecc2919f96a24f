"""From an edited function to a hypothesis."""

import ast
import difflib
import re
import sys
from collections.abc import Collection
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, NamedTuple

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import helpers
from lookahead_ref.conformance.bugs.simulation import Edit, edited, rewritten, source_of
from lookahead_ref.conformance.edits import grammar
from lookahead_ref.conformance.edits.grammar import (
    CLAUSES,
    NEEDED,
    OF_LOOKAHEAD,
    OF_PROGRAM,
    OF_RULES,
    OWN,
    Place,
    Said,
)
from lookahead_ref.conformance.edits.operators import every_edit
from lookahead_ref.conformance.edits.words import UNSAID


@lru_cache(maxsize=64)
def edits_of(place: Place) -> tuple[type[Edit], ...]:
    """Return the edits of a place, the plainest first."""
    tree, found, seen = _tree(place), [], set()
    if place.same:  # as it stands it is right
        seen.add(_contents(compile(ast.Module([tree], []), "<edited>", "exec")))
    for number, said in enumerate(every_edit(tree, place)):
        try:
            code = compile(ast.Module([tree], []), "<edited>", "exec")
        except (SyntaxError, ValueError, TypeError):
            continue
        key, names = _contents(code), _names(code.co_consts[0])
        if key in seen or not OWN.isdisjoint(names):
            continue
        seen.add(key)
        made = _Made(place, number, said, code, names)
        parts = made.parts(None)
        found += [_edit(made, onto, parts) for onto in _targets(place)]
    return tuple(sorted(found, key=lambda e: (e.rank, not e.says.startswith("does not"))))


class _Made(NamedTuple):
    """An edited function."""

    place: Place
    number: int  # of the edit
    said: Said
    code: Any
    names: frozenset[str]

    def parts(self, constant: float | None) -> dict[Any, type[Any]]:
        """Return the class that goes beneath each simulated one."""
        within = _within(self.place.function.__module__)
        if "C" in self.names:
            within = within | {"C": 1.0 if constant is None else constant}
        found: dict[str, Any] = {}
        exec(self.code, within, found)
        function, place = found[self.place.function.__name__], self.place
        bases = place.beneath or [user for user, _ in place.uses]
        return {base: _part(place, base, function) for base in bases}


@cache
def _within(module: str) -> dict[str, Any]:
    """Return what an edited function finds outside of itself."""
    modules = oracle, sys.modules[module], helpers, grammar
    return {name: each for some in modules for name, each in vars(some).items()}


def _names(code: Any) -> frozenset[str]:
    """Return the names, of attributes too, that are not its own."""
    within = (_names(const) for const in code.co_consts if hasattr(const, "co_code"))
    return frozenset(code.co_names).union(*within)


def _contents(code: Any) -> object:
    """Return all of some code but its line numbers."""
    consts = (_contents(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, *consts


def _targets(place: Place) -> list[tuple[type[Any], ...]]:
    """Say whether it is wrong in the inner optimizer, in the outer one, or in both."""
    if place.beneath != OF_RULES:
        return [place.beneath]
    return [OF_RULES, OF_RULES[:1], OF_RULES[1:]]


def _tree(place: Place) -> ast.FunctionDef:
    source = source_of(place.function)
    (tree,) = ast.parse(rewritten(source, place.under if place.beneath else ())).body
    assert isinstance(tree, ast.FunctionDef)
    tree.returns = None
    for each in ast.walk(tree):
        if isinstance(each, ast.arg):
            each.annotation = None
    if place.same:
        text = ast.unparse(tree)
        assert place.same[0] in text
        (other,) = ast.parse(text.replace(*place.same)).body
        assert isinstance(other, ast.FunctionDef)
        return other
    return tree


def _edit(
    made: _Made, onto: tuple[Any, ...], parts: dict[Any, Any], constant: float | None = None
) -> type[Edit]:
    place, (rank, words) = made.place, made.said
    where = place.words
    if onto in (OF_RULES[:1], OF_RULES[1:]):
        of, others = ("inner", "outer") if onto == OF_RULES[:1] else ("outer", "inner")
        where = f"the {of} optimizer's " + where.removeprefix("the optimizer's ")
        words = words.replace("the other optimizer", f"the {others} optimizer")
    if place.first:
        what, _, aim = words.partition(" to set ")
        same = aim and place.first[1].startswith(f"{what} to set ")
        words = f"{place.first[1]} and {aim if same else words}"
    unsaid = UNSAID in words
    words = "does one line in another way" if unsaid else words
    attributes = {
        "clause": _clause(place, words),
        "place": place.convention or f"edit of {place.title}",
        "says": _filled(f"{words}, in {where}", constant),
        **_needs(place, onto, made.names),
        "parts": {base: parts[base] for base in onto or parts},
        "rank": rank + 3 * unsaid + bool(place.first),
        "causes": 1 + bool(place.first),
        "title": place.title,
        "changed": staticmethod(
            lambda: [_filled(each, constant) for each in changed(place, made.number)]
        ),
        "narrow": "single" in made.names,
    }
    if constant is None and "C" in made.names:
        attributes["fitted"] = staticmethod(lambda c: _edit(made, onto, made.parts(c), c))
    elif place.first is None and not unsaid and constant is None:
        attributes["again"] = staticmethod(lambda: _again(place, made.number, words))
    return type("Edit", (Edit,), attributes)


def _filled(text: str, constant: float | None) -> str:
    return text if constant is None else re.sub(r"\bC\b", f"{constant:.6g}", text)


def _clause(place: Place, says: str) -> str:
    if place.beneath == OF_PROGRAM and place.clause == "LA-9" and "uses" not in says:
        return "LA-10"
    if " to float" in says or " to bfloat" in says:
        return "LA-31"
    found = (clause for word, clause in CLAUSES.items() if word in says)
    return next(found, place.clause) if place.beneath == OF_LOOKAHEAD else place.clause


def _needs(
    place: Place, onto: tuple[type[Any], ...], names: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return what a case must have for it to show."""
    besides = tuple(need for name, need in NEEDED.items() if name in names)
    if onto == OF_RULES[1:]:
        return {"needs": ("outer", *(f"outer-{each}" for each in place.needs), *besides)}
    if onto == OF_RULES:
        return {"either": place.needs, "needs": besides}
    return {"needs": (*place.needs, *besides)}


def _part(place: Place, base: type[Any], function: Any) -> type[Any]:
    """Make the class with the edited function that goes beneath a simulated one."""
    name, own = place.function.__name__, {}
    origin: Any = oracle.OracleInner if base in OF_RULES else oracle.OracleLookahead
    if place.is_method:
        # A convention's own method stands for one of the oracle.
        within = place.title.partition(".")[0]
        within = "Oracle" if place.convention and not place.under else within
        origin = next(
            each
            for each in base.__mro__
            if each.__name__.startswith(within) and name in vars(each)
        )
        own = {name: function}
    elif place.beneath:
        rules = oracle.RULES.items()
        changed = {n: (r, s) for n, (r, s) in rules if r is not place.function}
        changed |= {
            n: (function, _slots(function, s)) for n, (r, s) in rules if n not in changed
        }
        own = {"rules": changed}
    for method in [each for user, each in place.uses if user is base]:
        original = vars(origin)[method]
        source = source_of(original)
        under = tuple(x for x in place.under if x.partition(" -> ")[0] in source)
        within_it = {**vars(oracle), name: function}
        own[method] = type(original)(
            edited(origin, method, under).__code__, within_it, method
        )
    return type(origin.__name__, (origin,), own)


def _slots(rule: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Add the slots that an edited rule has besides."""
    own = [each for each in rule.__code__.co_consts if hasattr(each, "co_code")]
    update = next(each for each in own if each.co_name == "update")
    more: tuple[str, ...] = update.co_varnames[1 + len(names) : update.co_argcount]
    return names + more


def _edited(place: Place, number: int) -> str:
    tree = _tree(place)
    return next(
        ast.unparse(tree) for i, _ in enumerate(every_edit(tree, place)) if i == number
    )


def _again(place: Place, number: int, words: str) -> Place:
    """Return the function as an edit leaves it, to be edited once more."""
    plain = ast.unparse(_tree(replace(place, same=None)))
    return replace(place, same=(plain, _edited(place, number)), first=(place, words))


def changed(place: Place, number: int) -> list[str]:
    """Return the lines that an edit changes, as a unified diff has them."""
    before = ast.unparse(_tree(place.first[0] if place.first else place)).splitlines()
    after = _edited(place, number).splitlines()
    lines = difflib.unified_diff(before, after, lineterm="", n=1)
    return [line for line in lines if line[:3] not in ("---", "+++", "@@ ")]
