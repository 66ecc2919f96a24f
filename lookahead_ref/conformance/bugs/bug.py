"""What every bug, convention and beginner's mistake has besides what it does.

Each is a class, ``AlphaSwapped`` for ``alpha-swapped``, that overrides the methods of
`simulation` by which such a program differs. To combine bugs is to make a class of several;
no two of one ``place`` go together.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

__all__ = ["Bug", "Convention", "Mistake"]


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


class Bug:
    """A bug: what a program does, what that breaks in practice, and how to fix it."""

    name: ClassVar[str]
    """The flag of the cases that can show it."""
    kind: ClassVar[Literal["bug", "variant"]] = "bug"
    clause: ClassVar[str]
    """The clause of the specification that it breaks; that a convention settles."""
    place: ClassVar[str]
    """What it changes: of bugs at one place a program has one."""
    says: ClassVar[str]
    """What the program does, after "it"."""
    breaks: ClassVar[str]
    """What that breaks in practice; for a convention, where it is found."""
    fix: ClassVar[str]
    """How to fix it; for a convention, what to mind."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What a case must have for it to show."""

    def __init_subclass__(cls) -> None:
        """Name it after its class."""
        super().__init_subclass__()
        cls.name = re.sub(r"(?<!^)(?=[A-Z0-9])", "-", cls.__name__).lower()

    @classmethod
    def applies(cls, case: Mapping[str, Any]) -> bool:
        """Return whether it can show in a case."""
        return all(_HAS[need](case) for need in cls.needs)

    @classmethod
    def as_dict(cls) -> dict[str, str]:
        """Return what a report says of it."""
        told = ("name", "kind", "clause", "says", "breaks", "fix")
        return {each: getattr(cls, each) for each in told}


class Convention(Bug):
    """What other libraries document: a program that follows it throughout passes."""

    kind = "variant"


class Mistake(Bug):
    """What someone does who writes Lookahead for the first time."""

    # It shows at once and nearly everywhere: no case is made for it, and none has its flag.
