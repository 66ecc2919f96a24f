"""What a named departure is, for `lookahead_ref.conformance.catalogue`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Departure", "makes"]


@dataclass(frozen=True)
class Departure:
    """A way in which programs depart from the reference.

    Parameters
    ----------
    name : str
        Its name: the flag of the cases that can show it.
    kind : {"bug", "variant"}
        Whether it breaks something.
    clause : str
        The clause of the specification that it departs from, or settles where that leaves
        a choice.
    switch, setting : str, object
        How `lookahead_ref.conformance.bent` simulates it.
    says : str
        What the program does.
    breaks : str
        What that breaks in practice; for a variant, where it is found.
    fix : str
        How to fix it; for a variant, what to watch for.
    needs : tuple of str
        What a case must have for it to show; see `applies`.
    """

    name: str
    kind: Literal["bug", "variant"]
    clause: str
    switch: str
    setting: Any
    says: str
    breaks: str
    fix: str
    needs: tuple[str, ...] = ()

    def applies(self, case: Mapping[str, Any]) -> bool:
        """Return whether a case has what this departure needs to show."""
        return all(_HAS[need](case) for need in self.needs)


def _inner_states(case: Mapping[str, Any]) -> list[str]:
    return [level["inner_state"] for level in case["lookahead"]]


_HAS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "reset": lambda case: "reset" in _inner_states(case),
    "maintain": lambda case: "maintain" in _inner_states(case),
    "interpolate": lambda case: "interpolate" in _inner_states(case),
    "slots": lambda case: case["inner"]["rule"] != "sgd",
    "velocity": lambda case: case["inner"]["rule"] in ("heavy-ball", "nesterov"),
    "heavy-ball": lambda case: case["inner"]["rule"] == "heavy-ball",
    "nesterov": lambda case: case["inner"]["rule"] == "nesterov",
    "adagrad": lambda case: case["inner"]["rule"] == "adagrad",
    "adam": lambda case: case["inner"]["rule"] == "adam",
    "decay": lambda case: case["inner"]["weight_decay_kind"] != "none",
    "l2": lambda case: case["inner"]["weight_decay_kind"] == "l2",
    "decoupled": lambda case: case["inner"]["weight_decay_kind"] == "decoupled",
    "rates": lambda case: len(case["learning_rate"]) > 1,
    "alphas": lambda case: any(len(level["alpha"]) > 1 for level in case["lookahead"]),
    "nested": lambda case: len(case["lookahead"]) > 1,
    "save": lambda case: "save_after" in case,
    "evaluate": lambda case: bool(case.get("evaluate_after")),
    "no-gradient": lambda case: (
        case["problem"]["kind"] == "tape"
        and any(g is None for grads in case["problem"]["gradients"] for g in grads)
    ),
}


def makes(kind: Literal["bug", "variant"]) -> Callable[..., Departure]:
    """Return what makes departures of a kind, their needs as last arguments."""

    def make(
        name: str,
        clause: str,
        switch: str,
        setting: Any,
        says: str,
        breaks: str,
        fix: str,
        *needs: str,
    ) -> Departure:
        return Departure(name, kind, clause, switch, setting, says, breaks, fix, needs)

    return make
