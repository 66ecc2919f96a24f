"""What is saved and loaded, piece by piece; what is kept once, or in float32."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import (
    Edit,
    SimulatedLookahead,
    SimulatedProgram,
    State,
)
from lookahead_ref.conformance.edits.grammar import WORDS, mapped, single
from lookahead_ref.conformance.edits.parts import WHICH, mixed

_PIECES = {
    "phi": ("phi", ()),
    "the slots of the last synchronization": ("anchor", ("interpolate",)),
    "the count of steps since a synchronization": ("cycle_step", ()),
    "the count of synchronizations": ("syncs", ("alphas",)),
    "the slots": ("slots", ("slots",)),
    "the clock of the learning rate": ("clock", ("rates",)),
    "the counts of the parameters": ("count", ("adam",)),
    "the fast weights": ("theta", ()),
}
_ARRAYS = (*simulation.ARRAYS, "theta")
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


def _saved() -> Iterator[type[Edit]]:
    anew, live = "stay as the new program made them", "are those of the end"
    for words, (piece, needs) in _PIECES.items():
        for of in ("", *WHICH):
            told, need = f"{words} {of}".strip(), WHICH[of][:1] if of else ()
            for says, part in (
                (f"does not load {told}: they {anew}", _lost(piece, of)),
                (f"saves {told} too late: they {live}", _late(piece, of)),
            ):
                more = {"rank": 1 + len(need)}
                place = f"saved: {piece}"
                yield _made(
                    says, place, SimulatedProgram, part, "save", *needs, *need, **more
                )
    changes: Iterable[tuple[str, Callable[[Any], Any]]] = (
        ("rounds what it saves to float32", single),
        *((f"saves {n} digits of each number", partial(_digits, n)) for n in _DIGITS),
        ("saves the parameters' arrays in the opposite order", lambda each: each[::-1]),
    )
    for says, change in changes:
        narrow = {"narrow": "order" not in says, "clause": "LA-24"}
        part = _written(partial(_all_arrays, change))
        yield _made(says, "saved: all", SimulatedProgram, part, "save", **narrow)
    for one, other in (("phi", "theta"), ("slots", "anchor")):
        words = " and ".join(WORDS[each] for each in (f"self.{one}", _of(other)))
        part = _written(partial(_exchanged, one, other))
        says = f"exchanges {words} in what it saves"
        yield _made(says, "saved: all", SimulatedProgram, part, "save")


def _of(name: str) -> str:
    return name if name == "theta" else f"self.{name}"


def _written(change: Callable[[State], State]) -> type[Any]:
    class Writes(SimulatedProgram):
        def saved(self, then: State, now: State) -> State:
            return change(super().saved(then, now))

    return Writes


def _all_arrays(change: Callable[[Any], Any], state: State) -> State:
    def changed(name: str, value: Any) -> Any:
        if name not in _ARRAYS:
            return value
        if isinstance(value, dict):
            return {each: change(tensors) for each, tensors in value.items()}
        return change(value)

    return [{name: changed(name, value) for name, value in each.items()} for each in state]


def _digits(count: int, tensors: oracle.Tensors) -> Any:
    return mapped(lambda x: float(f"{x:.{count}g}"), tensors)


def _exchanged(one: str, other: str, state: State) -> State:
    weights = state[-1]["theta"]
    if other != "theta":
        pairs = {one: other, other: one}
        return [{pairs.get(n, n): v for n, v in each.items()} for each in state]
    first, *rest, _ = state
    return [{**first, "phi": weights}, *rest, {"theta": first["phi"]}]


def _replaced(
    case: Mapping[str, Any], state: State, by: State, name: str, of: str
) -> State:
    """Take a piece from another state, perhaps of some tensors."""
    shapes = [each["shape"] for each in case["params"]]
    found = []
    for each, other in zip(state, by, strict=True):
        piece = {n: v for n, v in other.items() if n == name}
        if of and name in piece:
            count = case.get("workers", 1)
            which = WHICH[of][1](shapes[: len(shapes) // count], [])
            which = which * count if name == "theta" else which
            piece = {name: mixed(which, piece[name], each[name])}
        found.append({**each, **piece})
    return found


def _lost(piece: str, of: str) -> type[Any]:
    class Loses(SimulatedProgram):
        def restore(self, levels: list[Any], state: State) -> oracle.Tensors:
            theta, anew = self.start()
            fresh = simulation.state_of(anew, theta)
            return super().restore(levels, _replaced(self.case, state, fresh, piece, of))

    return Loses


def _late(piece: str, of: str) -> type[Any]:
    class Shares(SimulatedProgram):
        def saved(self, then: State, now: State) -> State:
            return _replaced(self.case, super().saved(then, now), now, piece, of)

    return Shares


SAVED = tuple(_saved())


# What a Lookahead has of its own, but a program keeps once for all of them.


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
    for name, words, clause in (
        ("anchor", WORDS["self.anchor"], "LA-20"),
        ("phi", "phi", "LA-19"),
        ("cycle_step", WORDS["self.cycle_step"], "LA-17"),
        ("syncs", WORDS["self.syncs"], "LA-16"),
        ("k", "k", "LA-17"),
        ("alpha", "alpha", "LA-16"),
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
