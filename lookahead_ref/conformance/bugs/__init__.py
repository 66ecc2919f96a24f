"""The bugs, conventions and beginners' mistakes that the suite knows by name.

Each is declared with its texts, its clause and a change of the oracle's source. `simulate`
runs a case as a program with some of them does.
"""

from functools import partial
from typing import Any, NamedTuple

from lookahead_ref.conformance.bugs import conventions
from lookahead_ref.conformance.bugs.simulation import (
    PARTS,
    Bug,
    Convention,
    Mistake,
    Run,
    bug,
    simulate,
)
from lookahead_ref.system import read_table

__all__ = [
    "BUGS", "CLAUSES", "CONDITIONS", "CONVENTIONS", "HINTS", "KNOWN", "MEANINGS",
    "MISTAKES", "NO_GRADIENT", "PRECISIONS", "PUBLIC", "STEPS", "TRAITS", "Bug", "Clause",
    "DoublePrecision", "RoundsToSinglePrecision", "Run", "SinglePrecision", "by_name",
    "simulate",
]  # fmt: skip

_table = partial(read_table, "lookahead_ref.conformance.bugs")


def _declared(table: dict[str, Any], kind: type[Bug]) -> tuple[type[Bug], ...]:
    return tuple(
        bug(
            name,
            *(each.pop(part) for part in PARTS),
            *each.pop("edits", ()),
            kind=kind,
            mixes=getattr(conventions, each.pop("mixes", ""), None),
            **each,
        )
        for name, each in table.items()
    )


CONVENTIONS = _declared(_table("conventions.toml"), Convention)
BUGS = _declared(_table("bugs.toml"), Bug)
# Of public implementations, of those who write Lookahead for the first time, of precision.
PUBLIC, _FIRST_TRIES, PRECISIONS = (
    _declared(each, Mistake) for each in _table("mistakes.toml").values()
)
MISTAKES = (*PUBLIC, *_FIRST_TRIES)
KNOWN = (*BUGS, *CONVENTIONS, *MISTAKES)  # the likelier ones first
NO_GRADIENT = tuple(each for each in CONVENTIONS if each.place == "no_gradient")


# Seen by the size of errors, in float64 only, or by numbers that float32 cannot represent;
# not by a simulation, so that no case has their flag.
SinglePrecision, DoublePrecision = PRECISIONS
RoundsToSinglePrecision: type[Bug] = type(
    "single-precision",
    (SinglePrecision,),
    {"says": "rounds something to float32 on the way though it works in float64"},
)

_said = _table("traits.toml")
TRAITS, STEPS, MEANINGS = (_said[name] for name in ("traits", "steps", "meanings"))
HINTS, CONDITIONS = _said["hints"], _said["conditions"]
"""What cases have, what steps are, what it means if only those fail; flags of no bug."""

_BY_NAME = {each.name: each for each in (*KNOWN, *PRECISIONS)}


def by_name(name: str) -> type[Bug]:
    """Look a bug, convention or mistake up."""
    return _BY_NAME[name]


class Clause(NamedTuple):
    """A clause of ``docs/spec.md``: of LA, inner rules IN, outer step OU, workers WO."""

    id: str
    title: str
    kind: str


CLAUSES = tuple(Clause(name, *told) for name, told in _table("clauses.toml").items())
"""All clauses."""
