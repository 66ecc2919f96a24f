"""Which functions of the oracle are edited, and what may stand for what in them."""

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import (
    Outer,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    SimulatedWorkers,
)
from lookahead_ref.system import read_table

Said = tuple[int, str]
"""How far from plain an edit is, and what it does in words."""


@dataclass(frozen=True)
class Place:
    """A function of the oracle, and where an edited one takes effect."""

    function: Any
    clause: str
    words: str
    beneath: tuple[type[Any], ...] = ()  # the simulated classes; () for a helper
    needs: tuple[str, ...] = ()
    # Of a helper: the simulated classes and their methods that call it.
    uses: tuple[tuple[type[Any], str], ...] = ()
    # What is written in another way that does the same: what for what.
    same: tuple[str, str] | None = None
    convention: str = ""  # the place of the convention that it belongs to
    under: tuple[str, ...] = ()  # the changes that this makes
    # Of a function that is edited already: where, and in what words.
    first: "tuple[Place, str] | None" = None

    @property
    def title(self) -> str:
        """Name it as a reader finds it."""
        return str(self.function.__qualname__)

    @property
    def is_method(self) -> bool:
        return "." in self.title


OF_RULES = (SimulatedInner, Outer)
OF_LOOKAHEAD, OF_WORKERS = (SimulatedLookahead,), (SimulatedWorkers,)
OF_PROGRAM = (SimulatedProgram,)
_SYNCHRONIZES = (SimulatedLookahead, "synchronize")
_HELPERS: dict[str, tuple[tuple[type[Any], str], ...]] = {
    "interpolate": (_SYNCHRONIZES,),
    "at": (_SYNCHRONIZES, *((rule, "step") for rule in OF_RULES)),
}
_BENEATH = {
    "OracleInner": OF_RULES,
    "OracleLookahead": OF_LOOKAHEAD,
    "OracleWorkers": OF_WORKERS,
    "SimulatedProgram": OF_PROGRAM,
    **dict.fromkeys(_HELPERS, ()),
}
TABLES = read_table("lookahead_ref.conformance.edits", "vocabulary.toml")


def _place(name: str, clause: str, words: str, *needs: str) -> Place:
    module = simulation if name.startswith("Simulated") else oracle
    beneath = _BENEATH.get(name.partition(".")[0], OF_RULES)
    uses = _HELPERS.get(name, ())
    return Place(attrgetter(name)(module), clause, words, beneath, needs, uses)


PLACES = tuple(_place(name, *words) for name, words in TABLES["places"].items())
PLACES += tuple(
    replace(place, same=(same["words"], same["others"]))
    for place in PLACES
    for same in TABLES["same"]
    if same["of"] == place.title
)
_ELSEWHERE = [
    (f"self.{name}", f"self.{where}.{name}", of)
    for where, (of, *names) in TABLES["elsewhere"].items()
    for name in names
]
KINDS: list[list[str]] = [
    *TABLES["kinds"],
    *([own, f"={other}"] for own, other, _ in _ELSEWHERE),
]
NUMBERS: dict[str, list[str]] = TABLES["numbers"]
WORDS: dict[str, str] = TABLES["expressions"] | {
    f"{of}h[{name!r}]": name.replace("_", " ")
    for name in ("weight_decay", "epsilon", "momentum", "beta1", "beta2")
    for of in ("", "self.")
}
WORDS |= {other: f"{WORDS[own]} of {of}" for own, other, of in _ELSEWHERE}
ASKS: dict[str, str] = TABLES["asks"]
CALLS: dict[str, str] = TABLES["calls"]
CLAUSES: dict[str, str] = TABLES["clauses"]


def _added(kind: str) -> dict[str, str]:
    """Return the statements that may be added, each with what it does."""
    return {
        ast.unparse(ast.parse(text.replace("RULE", rule))): words.replace("RULE", rule)
        for text, words in TABLES["added"][kind].items()
        for rule in oracle.RULES
    }


STATEMENTS = {
    SimulatedLookahead: _added("lookahead"),
    SimulatedInner: _added("inner"),
    SimulatedWorkers: _added("workers"),
}
DOES: dict[str, str] = {
    text: words
    for some in (*STATEMENTS.values(), TABLES["statements"])
    for text, words in some.items()
    if words
}
"""What statements do, where more is to be said than their expressions say."""


def _variants(variant: dict[str, Any]) -> list[dict[str, Any]]:
    """Write a variant out for each pair of words and code that it has."""
    of, says, changes = (variant[name] for name in ("of", "says", "changes"))
    return [
        {
            "of": of,
            "says": says.replace("WORDS", words),
            "changes": [(right, wrong.replace("CODE", code)) for right, wrong in changes],
        }
        for words, code in variant.get("each", {"": ""}).items()
    ]


VARIANTS = [each for variant in TABLES["variants"] for each in _variants(variant)]
_NAMES = ("own", "return_numbers", "scaled", "late", "towards", "counts")
OWN, RETURN_NUMBERS, SCALED, LATE, TOWARDS, COUNTS = (
    frozenset(TABLES["names"][name]) for name in _NAMES
)
BESIDES: dict[str, str] = TABLES["besides"]
NEEDED: dict[str, str] = TABLES["needed"]
DEFAULTS: dict[str, float] = TABLES["defaults"]


def scaled(value: Any, by: Any) -> Any:
    """Multiply a number, tensors, or slots."""
    return mapped(lambda x: x * by, value)


def single(value: Any) -> Any:
    """Round a number, tensors, slots or hyperparameters to float32."""
    return mapped(lambda x: float(np.float32(x)), value)


def rounded(value: Any, size: int) -> Any:
    """Round them to numbers of so many bits: 11 in float16, 8 in bfloat16."""

    def short(x: float) -> float:
        part, exponent = math.frexp(x)
        return math.ldexp(round(math.ldexp(part, size)), exponent - size)

    return mapped(short, value)


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Call a function with a number, or with each of tensors, slots or hyperparameters."""
    if isinstance(value, dict):
        return {name: mapped(function, each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [mapped(function, each) for each in value]
    return value and function(value)


def sign(x: float) -> int:
    return (x > 0) - (x < 0)


def clipped(grads: oracle.Gradients, norm: float) -> oracle.Gradients:
    """Shrink all gradients to a norm; to 1 whatever they are if that is 0."""
    size = math.hypot(*(x for g in grads for x in g or ()))
    by = size if not norm else max(1.0, size / norm)
    return [g and scaled(g, 1 / (by or 1.0)) for g in grads]


def bounded(grads: oracle.Gradients, limit: float) -> oracle.Gradients:
    return [g and [max(-limit, min(limit, x)) for x in g] for g in grads]


def centred(case: Any, grads: oracle.Gradients) -> oracle.Gradients:
    """Take the mean out of each row of matrices."""
    found = list(grads)
    for i, (g, each) in enumerate(zip(grads, case["params"], strict=False)):
        if g and len(each["shape"]) > 1:
            size = len(g) // each["shape"][0]
            rows = [g[start : start + size] for start in range(0, len(g), size)]
            found[i] = [x - sum(row) / size for row in rows for x in row]
    return found


def shared(workers: Any, grads: oracle.Gradients) -> oracle.Gradients:
    """Give all workers the mean of their gradients."""
    each = workers.shares(grads)
    mean = [
        None if None in some else oracle.mean([[g] for g in some])[0]
        for some in zip(*each, strict=True)
    ]
    return mean * len(each)


def decayed(level: Any, tensors: oracle.Tensors) -> Any:
    """Decay weights as the inner optimizer's step would."""
    inner = level.innermost
    rate = oracle.at(inner.learning_rate, inner.clock)
    return scaled(tensors, 1 - rate * inner.h.get("weight_decay", 0.0))


def late(holder: Any, name: str, value: Any) -> Any:
    """Return a value of the time before; the first time, this one."""
    kept = vars(holder).setdefault("late", {})
    before = kept.get(name, value)
    kept[name] = value
    return before
