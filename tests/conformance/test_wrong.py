"""The suite fails wrong programs, and its diagnosis names what is wrong with them."""

from collections.abc import Collection

import pytest
from conformance.port import Port
from conformance.wrong import ONLY, WRONG

from lookahead_ref.conformance import Case, cases, judge, observe
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.running import Result

TWO_AT_ONCE = 12


def telling(causes: Collection[str]) -> list[Case]:
    """Return some cases that have the causes for flags, and every twelfth of the others."""
    chosen = cases()[::12]
    for cause in causes:
        flagged = [case for case in cases() if cause in case.flags]
        chosen += flagged[:: 1 + len(flagged) // 4]
    return list({case.id: case for case in chosen}.values())


def results(kind: type[Port], dtype: str, chosen: Collection[Case]) -> list[Result]:
    found = []
    for case in chosen:
        if dtype in case.dtypes:
            seen = observe(case, dtype, kind(), kind)
            verdict = judge(case, seen, dtype)
            status = "passed" if verdict.passed else "departed"
            found.append(Result(case, dtype, status, "", verdict, seen))
    return found


def test_there_are_enough_of_them() -> None:
    single = [name for name, (_, causes) in WRONG.items() if causes and len(causes) == 1]
    pairs = [name for name, (_, causes) in WRONG.items() if causes and len(causes) == 2]
    assert len(single) >= 40
    assert len(pairs) >= TWO_AT_ONCE


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_fails_and_its_cause_is_named(name: str) -> None:
    kind, causes = WRONG[name]
    # Both precisions: every other program in the one that shows less.
    dtype = ONLY.get(name, "float32" if len(name) % 2 else "float64")
    found = results(kind, dtype, telling(causes or ()))
    assert any(result.status == "departed" for result in found)
    explanations = diagnose(found)[0].explanations
    named = {frozenset(each.name for each in explanation) for explanation in explanations}
    # After a first synchronization at step 1, phi of that step is phi of the first step.
    if name == "TestsBeforeCountingAndCapturesAfterFirstStep":
        named.discard(frozenset({"first-sync-at-step-1", "phi-at-first-sync"}))
    assert named == (set() if causes is None else {causes})


def test_a_right_program_has_nothing_to_explain() -> None:
    assert diagnose(results(Port, "float64", telling(()))) == []
