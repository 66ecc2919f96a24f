"""What a program does not show is not judged, and what it shows is judged at its step."""

from typing import Any

import numpy as np
import pytest
from conformance.port import Port

from lookahead_ref.conformance import Case, Observation, cases, judge, observe

CASE = next(
    case for case in cases("state") if case.id == "state-heavy-ball-maintain-k2-alpha0.5"
)


def seen(case: Case = CASE) -> Observation:
    return observe(case, "float64", Port())


def hide(found: Observation, steps: int) -> Observation:
    """Hide slow weights and slots of the first steps, as a program that makes them late."""
    for step in range(steps):
        found.steps.slow[step] = []
        found.steps.slots[step] = {}
    return found


@pytest.mark.parametrize("steps", [0, 1, 2, 3, CASE.steps])
def test_slow_weights_and_slots_may_be_hidden_at_first(steps: int) -> None:
    assert judge(CASE, hide(seen(), steps), "float64").passed


@pytest.mark.parametrize("what", ["slow", "slots"])
def test_what_is_shown_late_departs_at_its_own_step(what: str) -> None:
    found = hide(seen(), 2)
    shown: Any = getattr(found.steps, what)[4]
    shown[0 if what == "slow" else "velocity"] = np.full(3, 7.0)
    (mismatch,) = judge(CASE, found, "float64").mismatches
    assert mismatch.step == 5
    assert mismatch.got == 7.0
