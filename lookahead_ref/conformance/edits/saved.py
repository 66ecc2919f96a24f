"""What is saved and loaded, piece by piece; what is kept once, or in float32."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import (
    Edit,
    Outer,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    State,
)
from lookahead_ref.conformance.edits.grammar import TABLES, WORDS, mapped, single
from lookahead_ref.conformance.edits.parts import LOADED, WHICH, When, chosen, mixed, only

_DIGITS = range(6, 16)


def _made(
    says: str, place: str, base: type[Any], part: type[Any], *needs: str, **more: Any
) -> type[Edit]:
    attributes: dict[str, Any] = {
        "clause": "LA-22",
        "place": f"edit of what is {place}",
        "says": says,
        "needs": needs,
        "parts": {base: part},
        "rank": 1,
        "title": f"what is {place.partition(':')[0]}",
        "changed": staticmethod(list),
        **more,
    }
    return type("Edit", (Edit,), attributes)


Change = Callable[[Mapping[str, Any], State, State, State], State]
"""From the case, what was taken, what is there at the end and what is new."""


def _saved() -> Iterator[type[Edit]]:
    for words, (piece, *needs) in TABLES["pieces"].items():
        for of in ("", *WHICH):
            told, need = f"{words} {of}".strip(), WHICH[of][:1] if of else ()
            lost = f"does not load {told}: they stay as the new program made them"
            late = f"saves {told} too late: they are those of the end"
            for says, is_late in ((lost, False), (late, True)):
                part = _writes(partial(_replaced, piece, of, is_late))
                rank, where = 1 + len(need), f"saved: {piece}"
                asked = ("save", *needs, *need)
                yield _made(says, where, SimulatedProgram, part, *asked, rank=rank)
    changes: Iterable[tuple[str, Callable[[Any], Any]]] = (
        ("rounds what it saves to float32", single),
        *((f"saves {n} digits of each number", partial(_digits, n)) for n in _DIGITS),
        ("saves the parameters' arrays in the opposite order", lambda each: each[::-1]),
    )
    for says, change in changes:
        part, narrow = _writes(partial(_in_all, change)), "order" not in says
        more = {"clause": "LA-24", "narrow": narrow}
        yield _made(says, "saved: all", SimulatedProgram, part, "save", **more)
    for one, other in TABLES["exchanged"]:
        words = WORDS[other if other == "theta" else f"self.{other}"]
        says = f"exchanges {WORDS[f'self.{one}']} and {words} in what it saves"
        part = _writes(partial(_exchanged, one, other))
        yield _made(says, "saved: all", SimulatedProgram, part, "save")


def _writes(change: Change) -> type[Any]:
    class Writes(SimulatedProgram):
        def saved(self, then: State, now: State) -> State:
            theta, anew = self.start()
            then = super().saved(then, now)
            return change(self.case, then, now, simulation.state_of(anew, theta))

    return Writes


def _in_all(change: Callable[[Any], Any], _: Any, then: State, *__: State) -> State:
    def changed(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {each: change(tensors) for each, tensors in value.items()}
        return change(value) if name in (*simulation.ARRAYS, "theta") else value

    return [{name: changed(name, value) for name, value in each.items()} for each in then]


def _digits(count: int, tensors: oracle.Tensors) -> Any:
    return mapped(lambda x: float(f"{x:.{count}g}"), tensors)


def _exchanged(one: str, other: str, _: Any, then: State, *__: State) -> State:
    if other == "count":

        def exchanged(each: dict[str, Any]) -> dict[str, Any]:
            count = [each["clock"]] * len(each["count"])
            return {**each, "clock": max(each["count"], default=0), "count": count}

        return [exchanged(each) if "clock" in each else each for each in then]
    if other != "theta":
        pairs = {one: other, other: one}
        return [{pairs.get(n, n): v for n, v in each.items()} for each in then]
    first, *rest, weights = then
    return [{**first, "phi": weights["theta"]}, *rest, {"theta": first["phi"]}]


def _replaced(
    name: str, of: str, is_late: bool, case: Mapping[str, Any], *states: State
) -> State:
    """Take a piece from another state, perhaps of some tensors."""
    then, now, fresh = states
    shapes = [each["shape"] for each in case["params"]]
    found = []
    for each, other in zip(then, now if is_late else fresh, strict=True):
        piece = {n: v for n, v in other.items() if n == name}
        if name == "theta" and piece and not is_late:  # but the inner optimizer may have it
            piece["left"] = each[name]
        if of and name in piece:
            count = case.get("workers", 1)
            which = chosen(of, shapes[: len(shapes) // count], [])
            which = which * count if name == "theta" else which
            piece = {name: mixed(which, piece[name], each[name])}
        found.append({**each, **piece})
    return found


SAVED = tuple(_saved())


def _shared(name: str) -> type[Any]:
    def get(self: Any) -> Any:
        return getattr(self.innermost, name)

    def put(self: Any, value: Any) -> None:
        setattr(self.innermost, name, value)

    return type("Shares", (SimulatedLookahead,), {name: property(get, put)})


SHARED = tuple(
    _made(
        f"keeps {words} once for all Lookaheads, instead of for each",
        *("shared", SimulatedLookahead, _shared(name), "nested"),
        clause=clause,
    )
    for name, (words, clause) in TABLES["shared"].items()
)


_OWN = "the {} optimizer go on with arrays of its own, which are no longer {}"


class _Apart(oracle.OracleInner):
    """An inner optimizer whose arrays nobody else sees; from an outer one phi is taken."""

    def step(self, theta: oracle.Tensors, grads: oracle.Gradients) -> oracle.Tensors:
        kept: Any = vars(self)
        own = kept.get("own", kept.get("left", theta))
        self.own = oracle.OracleInner.step(self, own, grads)
        return self.own if isinstance(self, Outer) else theta


_LEFT = When("after the first synchronization", lambda x: hasattr(x, "left"))
APART = tuple(
    only(_made(f"lets {words}", "stepped", base, _Apart, *needs, clause=clause), when)
    for words, base, needs, clause, when in (
        (_OWN.format("inner", "the model's"), SimulatedInner, (), "LA-24", LOADED),
        (_OWN.format("inner", "the model's"), SimulatedInner, (), "LA-7", _LEFT),
        (_OWN.format("outer", "phi"), Outer, ("outer",), "OU-10", LOADED),
    )
)


class _Narrow:
    """Binary64 with hyperparameters of float32."""

    number, hyperparameter = staticmethod(float), staticmethod(single)
    sqrt = staticmethod(math.sqrt)


class _KeepsNarrow(SimulatedProgram):
    def __init__(self, case: Any, _: Any, *parts: Any) -> None:
        super().__init__(case, _Narrow(), *parts)


NARROW = (
    _made(
        "keeps hyperparameters in float32 though it works in float64",
        *("kept", SimulatedProgram, _KeepsNarrow),
        clause="LA-31",
        narrow=True,
    ),
)
