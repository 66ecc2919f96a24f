"""From an edited function to a hypothesis."""

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.simulation import Edit
from lookahead_ref.conformance.edits.grammar import (
    CLAUSES,
    OF_LOOKAHEAD,
    OF_RULES,
    OWN,
    Place,
    Said,
    scaled,
    zeros,
)
from lookahead_ref.conformance.edits.operators import every_edit


@lru_cache(maxsize=64)
def edits_of(place: Place) -> tuple[type[Edit], ...]:
    """Return the edits of a place, the plainest first."""
    tree, found, seen = _tree(place), [], set()
    for number, (rank, says) in enumerate(every_edit(tree, place)):
        try:
            code = compile(_module(tree), "<edited>", "exec")
        except (SyntaxError, ValueError, TypeError):
            continue
        key = _contents(code)
        if key in seen or not OWN.isdisjoint(_names(code.co_consts[0])):
            continue
        seen.add(key)
        found += [
            _edit(place, number, (rank, says), code, onto) for onto in _targets(place)
        ]
    return tuple(sorted(found, key=lambda each: each.rank))


def _filled(text: str, constant: float | None) -> str:
    return text if constant is None else re.sub(r"\bC\b", f"{constant:.6g}", text)


def _names(code: Any) -> Iterator[str]:
    """Yield the names, of attributes too, that are not its own."""
    yield from code.co_names
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            yield from _names(const)


def _namespace(place: Place) -> dict[str, Any]:
    """Return what an edited function finds outside of itself."""
    found = dict(vars(inspect.getmodule(place.function)))
    found |= {"zeros": zeros, "scaled": scaled, "at": oracle.at}
    return found | {"interpolate": oracle.interpolate, "mean": oracle.mean}


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
    source = textwrap.dedent(inspect.getsource(place.function))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.FunctionDef)
    tree.returns = None
    for each in ast.walk(tree):
        if isinstance(each, ast.arg):
            each.annotation = None
    return tree


def _module(tree: ast.FunctionDef) -> ast.Module:
    return ast.Module([tree], [])


def _edit(
    place: Place,
    number: int,
    said: Said,
    code: Any,
    onto: tuple[type[Any], ...],
    constant: float | None = None,
) -> type[Edit]:
    rank, says = said
    namespace = _namespace(place) | {"C": 1.0 if constant is None else constant}
    exec(code, namespace)
    name = place.function.__name__
    function = namespace[name]
    parts = {}
    for base in onto or OF_LOOKAHEAD:
        origin: Any = (
            next(
                each for each in base.__mro__ if place.title.startswith(f"{each.__name__}.")
            )
            if place.is_method
            else (oracle.OracleInner if onto else oracle.OracleLookahead)
        )
        if place.is_method:
            own = {name: function}
        elif onto:
            rules = {
                each: (function if rule is place.function else rule, slots)
                for each, (rule, slots) in oracle.RULES.items()
            }
            own = {"rules": rules}
        else:
            own = {}
            for method in place.uses:
                original = getattr(oracle.OracleLookahead, method)
                within = {**vars(oracle), name: function}
                own[method] = type(original)(original.__code__, within, method)
        parts[base] = type(origin.__name__, (origin,), own)
    where = " of the outer optimizer" if onto == OF_RULES[1:] else ""
    needs = place.needs
    if onto == OF_RULES[1:]:
        needs = ("outer", *(f"outer-{each}" for each in place.needs))
    both = onto == OF_RULES and bool(place.needs)
    return type(
        "Edit",
        (Edit,),
        {
            "clause": next(
                (clause for word, clause in CLAUSES.items() if word in says),
                place.clause,
            )
            if place.beneath == OF_LOOKAHEAD
            else place.clause,
            "place": f"edit of {place.title}",
            "says": _filled(f"{says}, in {place.words}{where}", constant),
            "needs": () if both else needs,
            "either": place.needs if both else (),
            "parts": parts,
            "rank": rank,
            "title": place.title,
            "changed": staticmethod(
                lambda: [_filled(each, constant) for each in changed(place, number)]
            ),
            "fitted": staticmethod(partial(_edit, place, number, said, code, onto))
            if constant is None and "C" in _names(code.co_consts[0])
            else None,
        },
    )


def changed(place: Place, number: int) -> list[str]:
    """Return the lines that an edit changes, as a unified diff has them."""
    tree = _tree(place)
    before = ast.unparse(tree).splitlines()
    for each, _ in enumerate(every_edit(tree, place)):
        if each == number:
            after = ast.unparse(tree).splitlines()
            lines = difflib.unified_diff(before, after, lineterm="", n=1)
            return [line for line in lines if line[:3] not in ("---", "+++", "@@ ")]
    raise IndexError(number)
