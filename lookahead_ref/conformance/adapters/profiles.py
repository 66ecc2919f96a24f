"""Checks of the use of a Lookahead besides its steps.

A check is a function of `Make`; it raises `Wrong`, or anything, if it fails.
"""

import inspect
from collections.abc import Callable, Container
from subprocess import TimeoutExpired
from typing import Any, NamedTuple

from lookahead_ref.conformance.adapters import PEERS, adapter, package
from lookahead_ref.conformance.protocol import UnsupportedError
from lookahead_ref.conformance.wire import own_frame, placed

K, ALPHA = 3, 0.5
STEPS = 8  # two synchronizations and two more steps
SAVED = 4  # in the middle of a cycle

Make = Any
"""From an inner optimizer to the Lookahead around it; its `target` names the class."""


class Wrong(Exception):  # noqa: N818
    """A failure, described in a sentence."""


class Check(NamedTuple):
    """A way of use, and how to fix it."""

    run: Callable[[Make], None]
    fix: str


class Found(NamedTuple):
    """The result of a check."""

    name: str
    verdict: str
    says: str = ""
    fix: str = ""
    frame: dict[str, Any] | None = None


class Checks:
    """A table of checks."""

    def __init__(self) -> None:
        self.by_name: dict[str, Check] = {}

    def enter(self, fix: str) -> Callable[[Callable[[Make], None]], Callable[[Make], None]]:
        """Add a function by its name."""

        def entered(run: Callable[[Make], None]) -> Callable[[Make], None]:
            self.by_name[run.__name__.replace("_", "-")] = Check(run, fix)
            return run

        return entered

    def taken(self, make: Make, after: Callable[[], None] = lambda: None) -> list[Found]:
        """Run all checks."""
        results = []
        for name, each in self.by_name.items():
            found = Found(name, "passes")
            try:
                each.run(make)
            except UnsupportedError as error:
                found = Found(name, "not offered", str(error))
            except TimeoutExpired as error:
                says = f"takes longer than {error.timeout:g} s on this machine"
                found = Found(name, "not judged", says)
            except Wrong as error:
                found = Found(name, "fails", str(error), each.fix)
            # Anything that the target raises is a finding.
            except Exception as error:
                line = str(error).strip().partition("\n")[0]
                frame = own_frame(error, package(make.target))
                said = placed(f"raises {type(error).__name__}: {line}", frame)
                found = Found(name, "fails", said, each.fix, frame)
            after()
            results.append(found)
        return results


_K = ("k", "la_steps", "sync_period", "merge_time", "lookahead_k")
_ALPHA = ("alpha", "la_alpha", "slow_step_size", "sync_rate", "lookahead_alpha")


def names_of(known: Container[str]) -> list[str]:
    """Return the names of k and alpha there, empty if missing."""
    return [next((name for name in each if name in known), "") for each in (_K, _ALPHA)]


def lookahead_of(target: str) -> Make:
    """Return a function that wraps an inner optimizer in a target."""
    if target in PEERS:
        target = PEERS[target].about.get("wrapper", target)
    found: Any = adapter(target)
    known = inspect.signature(found).parameters
    names = names_of(known)
    if "" in names:
        raise ValueError(
            f"this profile needs a target, such as torch_optimizer:Lookahead or "
            f"optax:lookahead, that takes an optimizer, one of {', '.join(_K)} and one of "
            f"{', '.join(_ALPHA)}; {target} takes {', '.join(known) or 'nothing'}"
        )

    def make(inner: Any) -> Any:
        return found(inner, **dict(zip(names, (K, ALPHA), strict=True)))

    made: Any = make
    made.target = target
    return made
