"""The suite fails wrong programs, and its diagnosis names what is wrong with them."""

from collections.abc import Collection

import pytest
from conformance.port import Port
from conformance.wrong import ONLY, WRONG, results

from lookahead_ref.conformance import Case, cases
from lookahead_ref.conformance.bugs import BUGS, CONVENTIONS, MISTAKES
from lookahead_ref.conformance.diagnosis import diagnose

TWO_AT_ONCE = 12


MADE_AT_ONCE = {mistake.name for mistake in MISTAKES}
"""These show nearly everywhere: no case has their flag."""


def telling(causes: Collection[str]) -> list[Case]:
    """Return some cases that have the causes for flags, and every twelfth of the others.

    Of what a beginner does, some plain cases in which the numbers stay finite.
    """
    if MADE_AT_ONCE.issuperset(causes) and causes:
        return [
            case
            for profile in ("wrapper", "schedule", "inner:heavy-ball", "inner:adam")
            for case in cases(profile)[::3]
            if not {"overflow", "no-gradient"} & set(case.flags)
            and case.data["problem"]["kind"] != "double-well"
            and {each["inner_state"] for each in case.data["lookahead"]} == {"maintain"}
        ]
    chosen = cases()[::12]
    for cause in causes:
        flagged = [case for case in cases() if cause in case.flags]
        chosen += flagged[:: 1 + len(flagged) // 4]
    return list({case.id: case for case in chosen}.values())


def test_there_are_enough_of_them() -> None:
    single = [name for name, (_, causes) in WRONG.items() if causes and len(causes) == 1]
    pairs = [name for name, (_, causes) in WRONG.items() if causes and len(causes) == 2]
    assert len(single) >= 40
    assert len(pairs) >= TWO_AT_ONCE
    named = {cause for _, causes in WRONG.values() for cause in causes or ()}
    assert named >= MADE_AT_ONCE
    assert not {each.name for each in BUGS + CONVENTIONS} & MADE_AT_ONCE


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_fails_and_its_cause_is_named(name: str) -> None:
    kind, causes = WRONG[name]
    # Both precisions: every other program in the one that shows less.
    dtype = ONLY.get(name, "float32" if len(name) % 2 else "float64")
    found = results(kind, telling(causes or ()), dtype)
    assert any(result.status == "departed" for result in found)
    explanations = diagnose(found)[0].explanations
    named = {frozenset(each.name for each in explanation) for explanation in explanations}
    # After a first synchronization at step 1, phi of that step is phi of the first step.
    if name == "TestsBeforeCountingAndCapturesAfterFirstStep":
        named.discard(frozenset({"first-sync-at-step-1", "phi-at-first-sync"}))
    assert named == (set() if causes is None else {causes})


def test_a_right_program_has_nothing_to_explain() -> None:
    assert diagnose(results(Port, telling(()), "float64")) == []
