"""What is saved and loaded, piece by piece."""

from collections.abc import Iterator, Mapping
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import Edit, SimulatedProgram
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


def _saved() -> Iterator[type[Edit]]:
    anew, live = "stay as the new program made them", "are those of the end"
    for words, (piece, needs) in _PIECES.items():
        some = {words: (), **{f"{words} {of}": (of,) for of in WHICH}}
        for each, of in some.items():
            for says, function in (
                (f"does not load {each}", _lost),
                (f"saves {each} too late", _live),
            ):
                attributes: dict[str, Any] = {
                    "clause": "LA-22",
                    "place": f"edit of what is saved: {piece}",
                    "says": f"{says}: they {anew if function is _lost else live}",
                    "needs": ("save", *needs, *(WHICH[name][0] for name in of)),
                    "parts": {SimulatedProgram: function(piece, *of)},
                    "rank": 1 + len(of),
                    "title": "what is saved",
                    "changed": staticmethod(list),
                }
                yield type("Edit", (Edit,), attributes)


def _replaced(
    case: Mapping[str, Any],
    state: simulation.State,
    by: simulation.State,
    name: str,
    of: str,
) -> simulation.State:
    """Take a piece from another state, perhaps of some tensors."""
    shapes = [each["shape"] for each in case["params"]]
    found = []
    for each, other in zip(state, by, strict=True):
        piece = {n: v for n, v in other.items() if n == name}
        if of and name in piece:
            count = case.get("workers", 1)
            which = WHICH[of][1](shapes[: len(shapes) // count])
            which = which * count if name == "theta" else which
            piece = {name: mixed(which, piece[name], each[name])}
        found.append({**each, **piece})
    return found


def _lost(piece: str, of: str = "") -> type[Any]:
    class Loses(SimulatedProgram):
        def restore(self, levels: list[Any], state: simulation.State) -> oracle.Tensors:
            theta, anew = self.start()
            fresh = simulation.state_of(anew, theta)
            return super().restore(levels, _replaced(self.case, state, fresh, piece, of))

    return Loses


def _live(piece: str, of: str = "") -> type[Any]:
    class Shares(SimulatedProgram):
        def saved(self, then: simulation.State, now: simulation.State) -> simulation.State:
            return _replaced(self.case, super().saved(then, now), now, piece, of)

    return Shares


SAVED = tuple(_saved())
