"""The suite fails wrong programs, and its diagnosis names what is wrong with them."""

import difflib
import re
from itertools import chain

import pytest
from conformance.running import UNTOLD, named, results
from conformance.wrong import CHANGES, GALLERY, NARROWER, TWO_AT_ONCE, UNKNOWN, program

from lookahead_ref.conformance import Case, cases
from lookahead_ref.conformance.bugs import BUGS, CONVENTIONS, MISTAKES, PUBLIC, by_name
from lookahead_ref.conformance.diagnosis import diagnose

MADE_AT_ONCE = {mistake.name for mistake in MISTAKES}
"""No case has their flag."""
FOUND = {each.name for each in PUBLIC}
"""Those of them that do not show nearly everywhere."""


def pool(*causes: str) -> list[Case]:
    """Return the cases of outer optimizers or of workers for what is wrong in them."""
    own = {"OU": "outer", "WO": "workers"}
    wanted = {own.get(by_name(cause).clause.partition("-")[0]) for cause in causes} - {None}
    kind = {case.id: case.profile for case in cases() if case.profile in own.values()}
    return [case for case in cases() if kind.get(case.id) in (wanted or {None})]


def flagged(cause: str, most: int, levels: int = 9) -> list[Case]:
    """Return about so many of the cases that have a cause for a flag."""
    found = [case for case in pool(cause) if cause in case.flags]
    found = [case for case in found if len(case.data["lookahead"]) <= levels]
    return found[:: 1 + len(found) // most]


def telling(*causes: str) -> list[Case]:
    """Return some cases that have the causes for flags, and every twelfth of the others.

    Of what a beginner does, some plain cases in which the numbers stay finite.
    """
    if causes and FOUND.issuperset(causes):
        bugs = [by_name(cause) for cause in causes]
        some = [c for c in pool(*causes) if all(bug.applies(c.data) for bug in bugs)]
        late = [case for case in cases("wrapper") if "no-gradient" in case.flags]
        slots = [case for case in cases("state") if case.id.startswith("state-several")]
        slots += flagged("interpolated-slots-swapped", 2)
        some = [*some[:: 1 + len(some) // 8], *some[-1:]]
        chosen = [*pool(*causes)[::12], *some, *late[-1:], *slots]
    elif causes and MADE_AT_ONCE.issuperset(causes):
        return [
            case
            for profile in ("wrapper", "schedule", "inner:heavy-ball", "inner:adam")
            for case in cases(profile)[::3]
            if not UNTOLD.difference({"subnormal"}) & set(case.flags)
            and case.data["problem"]["kind"] != "double-well"
            and {each["inner_state"] for each in case.data["lookahead"]} == {"maintain"}
        ]
    else:
        some = pool(*causes)[:: 4 if len(pool(*causes)) < 60 else 12]
        chosen = [*some, *(case for cause in causes for case in flagged(cause, 8))]
    return list({case.id: case for case in chosen}.values())


def test_every_bug_and_mistake_has_its_program_and_its_name_alone() -> None:
    assert list(GALLERY) == [bug.name for bug in BUGS]
    assert CHANGES.keys() >= {
        each for each in MADE_AT_ONCE if not re.search("bits|until-loading", each)
    }
    assert TWO_AT_ONCE.count(",") >= 12
    assert not {each.name for each in BUGS + CONVENTIONS} & MADE_AT_ONCE
    # Keeping the wrong slots takes two lines: one at the interpolation, one after it.
    two = [name for name, changes in GALLERY.items() if len(changes) == 2]
    assert two == ["interpolated-slots-not-kept"]


def test_a_bug_of_the_gallery_is_a_change_of_one_line() -> None:
    for right, wrong in chain.from_iterable(GALLERY.values()):
        compared = difflib.ndiff(right.splitlines(), wrong.splitlines())
        signs = [line[0] for line in compared if line[:2] in ("+ ", "- ")]
        assert sorted(signs) == ["+", "-"], right


PROGRAMS = [(name,) for name in CHANGES if name not in UNKNOWN]
PROGRAMS += [tuple(pair.split()) for pair in TWO_AT_ONCE.split(",")]
SLOW = [pytest.param((x,), marks=pytest.mark.slow) for x in UNKNOWN]  # all is tried on them


@pytest.mark.parametrize("names", [*PROGRAMS, *SLOW], ids=str)
def test_a_wrong_program_fails_and_its_cause_is_named(names: tuple[str, ...]) -> None:
    causes = [name.removesuffix(", no more") for name in names if name not in UNKNOWN]
    # Both precisions: every other program in the one that shows less.
    dtype = "float32" if len("".join(names)) % 2 else "float64"
    dtype = {"single-precision": "float64", "double-precision": "float32"}.get(
        names[-1], dtype
    )
    wide = names[0] in NARROWER
    chosen = flagged(*causes, most=12, levels=1) if wide else telling(*causes)
    found = results(program(*names), chosen, dtype)
    if len(causes) == 1:
        own = [each for each in found if causes[0] in each.case.flags]
        assert {each.status for each in own} <= {"failed"}
    message = named(diagnose(found)[0].explanations)
    # After a first synchronization at step 1, phi of that step is phi of the first step.
    if names == ("first-sync-at-step-1", "phi-after-first-step"):
        message.discard(frozenset({"first-sync-at-step-1", "phi-at-first-sync"}))
    assert message == ({frozenset(causes)} if causes else set())


def test_a_right_program_has_nothing_to_explain() -> None:
    assert diagnose(results(program(), telling(), "float64")) == []
