"""What is saved and loaded, piece by piece; what is kept once."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import helpers, simulation
from lookahead_ref.conformance.bugs.simulation import (
    ARRAYS,
    Edit,
    Outer,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    State,
)
from lookahead_ref.conformance.edits.grammar import TABLES, WORDS, mapped, rounded, single
from lookahead_ref.conformance.edits.parts import LOADED, WHICH, When, chosen, mixed, only

HOLDERS: dict[str, tuple[str, Callable[[str, int], bool]]] = {
    words: (need, eval(f"lambda kind, j: {holds}"))
    for words, (need, holds) in TABLES["holders"].items()
}
_OF_OPTIMIZERS = ("slots", "clock", "count")


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

_CODE = {**vars(oracle), **vars(helpers), "mapped": mapped, "rounded": rounded}
_CODE |= {"COUNTS": simulation.COUNTS, "single": single}
_CODE |= {"digits": lambda x, n: mapped(lambda y: float(f"{y:.{n}g}"), x)}
_ARRAYS = {"": "what it saves", "theta": "the fast weights that it saves"}
_ARRAYS["phi theta"] = "phi and the fast weights that it saves"
_ARRAYS |= {name: f"{WORDS[f'self.{name}']} that it saves" for name in ARRAYS}


def _saved() -> Iterator[type[Edit]]:
    for words, (piece, *needs) in TABLES["pieces"].items():
        # Of optimizers, or of Lookaheads.
        own = [of for of in HOLDERS if ("optimizer" in of) == (piece in _OF_OPTIMIZERS)]
        some = WHICH if piece in (*_ARRAYS, "count") else ()
        for of in ("", *some, *own):
            need = (WHICH | HOLDERS)[of][:1] if of else ()
            told = f"{words.removesuffix(' of the parameters')} {of}" if of else words
            lost = f"does not load {told}: it keeps what the new program began with"
            late = f"saves {told} too late: as it is at the end"
            for says, is_late in ((lost, False), (late, True)):
                part = _writes(partial(_replaced, piece, of, is_late))
                rank, where = 1 + len(need), f"saved: {piece}"
                outer = "outer-" if "outer optimizer" in of else ""
                asked = ("save", *(f"{outer}{each}" for each in needs), *need)
                yield _made(says, where, SimulatedProgram, part, *asked, rank=rank)
    for words, code in TABLES["written"].items():
        change = eval(f"lambda x: {code}", _CODE)
        for name, of in _ARRAYS.items():
            names = name.split() or (*ARRAYS, "theta")
            part = _writes(partial(_in_all, change, names))
            more = {"clause": "LA-24", "narrow": "order" not in words}
            says, rank = words.replace("WHAT", of), 1 + bool(name)
            yield _made(
                says, "saved: all", SimulatedProgram, part, "save", rank=rank, **more
            )
    for words, (code, *needs) in TABLES["confused"].items():
        change = eval(
            f"lambda each, kind, j, level, rule, own, phis, of, anew, late: {code}", _CODE
        )
        part = _writes(partial(_confused, change))
        yield _made(words, "saved: all", SimulatedProgram, part, "save", *needs)


def _writes(change: Change) -> type[Any]:
    class Writes(SimulatedProgram):
        def saved(self, then: State, now: State) -> State:
            theta, anew = self.start()
            then = super().saved(then, now)
            return change(self.case, then, now, simulation.state_of(anew, theta))

    return Writes


def _in_all(
    change: Callable[[Any], Any], names: Collection[str], _: Any, then: State, *__: State
) -> State:
    def changed(name: str, value: Any) -> Any:
        if isinstance(value, dict) and name in names:
            return {each: change(tensors) for each, tensors in value.items()}
        return change(value) if name in names else value

    return [{name: changed(name, value) for name, value in each.items()} for each in then]


def _kinds(case: Mapping[str, Any], state: State) -> Iterator[tuple[str, int]]:
    """Say of each part of a state what it is of, and its number among those."""
    workers = case.get("workers", 1)
    sizes = {"Lookahead": max(workers, len(case["lookahead"])), "inner": workers}
    sizes["outer"] = len(state) - 1 - sum(sizes.values())
    yield from ((kind, j) for kind, size in sizes.items() for j in range(size))
    yield "weights", 0


def _confused(
    change: Callable[..., dict[str, Any]], case: Mapping[str, Any], *states: State
) -> State:
    """Change each part of what is saved by others."""
    then, now, fresh = states
    kinds, workers = list(_kinds(case, then)), case.get("workers", 1)
    of = dict(zip(kinds, then, strict=True))
    weights = oracle.parted(then[-1]["theta"], workers)
    phis = oracle.joined([of["Lookahead", j]["phi"] for j in range(workers)])
    found = []
    for (kind, j), each, anew, late in zip(kinds, then, fresh, now, strict=True):
        level, rule = of["Lookahead", j % workers], of["inner", j % workers]
        new = change(each, kind, j, level, rule, weights[j % workers], phis, of, anew, late)
        found.append({**each, **{n: v for n, v in new.items() if n in each}})
    return found


def _replaced(
    name: str, of: str, is_late: bool, case: Mapping[str, Any], *states: State
) -> State:
    """Take a piece from another state, perhaps of some tensors, or of one optimizer."""
    then, now, fresh = states
    shapes = [each["shape"] for each in case["params"]]
    found = []
    others = now if is_late else fresh
    for where, each, other in zip(_kinds(case, then), then, others, strict=True):
        piece = {n: v for n, v in other.items() if n == name}
        if of in HOLDERS and not HOLDERS[of][1](*where):
            piece = {}
        if name == "theta" and piece and not is_late:  # but the inner optimizer may have it
            piece["left"] = each[name]
        if of in WHICH and name in piece:
            count = case.get("workers", 1)
            which = chosen(of, shapes[: len(shapes) // count], [])
            which = which * count if name == "theta" else which
            piece = {name: mixed(which, piece[name], each[name])}
        found.append({**each, **piece})
    return found


SAVED = tuple(_saved())


def _short(name: str, size: int) -> type[Any]:
    def get(self: Any) -> Any:
        return vars(self)[name]

    def put(self: Any, value: Any) -> None:
        vars(self)[name] = rounded(value, size)

    return type("Short", (SimulatedLookahead,), {name: property(get, put)})


def _common(name: str, *, always: bool) -> type[Any]:
    """Keep something once for all Lookaheads, also after loading or until then."""

    def put(self: Any, value: Any) -> None:
        case, first = self.innermost.case, next(iter(members), self)
        full = len(members) == len(case["lookahead"]) * case.get("workers", 1)
        if self not in members and (full or first.innermost.case is not case):
            members.clear()  # of another program
        members[self] = None
        for each in members if always or self.made_anew else (self,):
            vars(each)[name] = value

    members: dict[Any, None] = {}
    own = {name: property(lambda self: vars(self)[name], put), "made_anew": True}
    return type("Common", (SimulatedLookahead,), own)


_MANY = ("nested", "workers")
SHARED = tuple(
    _made(
        f"keeps {words} once for all Lookaheads{which}",
        *("shared", SimulatedLookahead, _common(name, always=always)),
        *needs,
        clause=clause,
        either=either,
    )
    for which, always, needs, either in (
        (", instead of for each", True, ("nested",), ()),
        (", those of all workers too", True, (), _MANY),
        (", those of all workers too, until a state is loaded", False, (), _MANY),
    )
    for name, (words, clause) in TABLES["shared"].items()
)
SHARED += tuple(
    _made(
        f"keeps {words} in {bits} whatever the parameters are in",
        *("kept", SimulatedLookahead, _short(name, size), *needs),
        clause=clause,
        narrow=bits == "float32",
    )
    for name, (words, clause, *needs) in TABLES["kept"].items()
    for bits, size in TABLES["bits"].items()
)


_OWN = "the {} optimizer go on with arrays of its own, which are no longer {}"


class _Apart(oracle.OracleInner):
    """An inner optimizer whose arrays nobody else sees; from an outer one phi is taken."""

    def step(self, theta: oracle.Tensors, grads: oracle.Gradients) -> oracle.Tensors:
        kept: Any = vars(self)
        own = kept.get("own", kept.get("left", theta))
        self.own = oracle.OracleInner.step(self, own, grads)
        return self.own if isinstance(self, Outer) else theta


class _Between(_Apart):
    """An outer optimizer of whose own arrays phi takes a fraction."""

    def step(self, theta: oracle.Tensors, grads: oracle.Gradients) -> oracle.Tensors:
        level, own = vars(self)["level"], _Apart.step(self, theta, grads)
        return oracle.interpolate(theta, own, oracle.at(level.alpha, level.syncs))


_PART = f"{_OWN}, of which phi takes the fraction alpha"
_LEFT = When("after the first synchronization", lambda x: hasattr(x, "left"))
APART = tuple(
    only(_made(f"lets {words}", "stepped", base, part, *needs, clause=clause), when)
    for words, base, part, needs, clause, when in (
        (_OWN.format("inner", "the model's"), SimulatedInner, _Apart, (), "LA-24", LOADED),
        (_OWN.format("inner", "the model's"), SimulatedInner, _Apart, (), "LA-7", _LEFT),
        (_OWN.format("outer", "phi"), Outer, _Apart, ("outer",), "OU-10", LOADED),
        (_PART.format("outer", "phi"), Outer, _Between, ("outer",), "OU-10", LOADED),
    )
)


def _left(weights: Callable[[Any, oracle.Tensors], oracle.Tensors]) -> type[Any]:
    """Leave the model's weights as they are: its optimizer has others."""

    class Left(SimulatedProgram):
        def loaded(self, outermost: Any, theta: oracle.Tensors) -> oracle.Tensors:
            self.left = [*vars(self).get("left", ()), *weights(outermost, theta)]
            return SimulatedProgram.loaded(self, outermost, theta)

        def fast(self, outermost: Any, theta: oracle.Tensors) -> oracle.Tensors:
            return vars(self).get("left") or SimulatedProgram.fast(self, outermost, theta)

    return Left


APART += tuple(
    _made(
        f"leaves the model's weights as they were {when}: the optimizer has others",
        *("shown", SimulatedProgram, _left(weights), "save"),
        clause="LA-24",
    )
    for when, weights in {
        "loaded": lambda _, theta: theta,
        "made, before loading": lambda outermost, _: outermost.initial,
    }.items()
)
