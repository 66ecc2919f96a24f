"""The diagnosis of many, similar or invisible causes."""

from itertools import product

import numpy as np
import pytest
from conformance.running import chosen, named, results
from conformance.wrong import CHANGES, changed, program

from lookahead_ref.conformance import Case, cases, judge, load, observe
from lookahead_ref.conformance.bugs.helpers import bits_swapped
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.reports import in_plain_words
from lookahead_ref.conformance.summary import summarize

# As public versions are: nested_lookahead, the authors' PyTorch; and as none is.
TOGETHER = (
    "first-sync-at-step-1 phi-at-first-sync only-momentum-reset checkpoint-of-inner-alone",
    "only-momentum-reset interpolated-slots-aliased-later checkpoint-of-inner-alone",
    "alpha-swapped adam-uncorrected decay-ignored schedule-one-ahead",
    "phi-starts-at-zero first-sync-at-step-1 alpha-swapped",  # in one profile
)


@pytest.mark.parametrize("causes", TOGETHER)
def test_more_than_two_bugs_are_named_together(causes: str) -> None:
    names = causes.split()
    others = ("state", "resume", "schedule", "inner:adamw") * (causes != TOGETHER[-1])
    some = chosen("wrapper", *others, every=6)
    (diagnosis,) = diagnose(results(program(*names), some, "float32"))
    message = named(diagnosis.explanations)
    # At a first synchronization in step 1, phi of the first step is phi of that one.
    if names[0] == "first-sync-at-step-1":
        phis = ("phi-after-first-step", "phi-at-first-sync")
        assert message == {frozenset({names[0], *names[2:], phi}) for phi in phis}
    else:
        assert message == {frozenset(names)}


@pytest.mark.slow
def test_wide_numbers_are_told_beside_what_nothing_explains() -> None:
    some = results(program("double-precision", "alpha-bent"), chosen("wrapper", every=4))
    ((found, left),) = ((named(d.explanations), d.exceptions) for d in diagnose(some))
    assert (found, len(left) > 0) == ({frozenset({"double-precision"})}, True)


@pytest.mark.parametrize("name", ["phi-is-theta", "theta-becomes-phi"])
def test_a_second_name_of_an_array_ends_where_a_copy_is_loaded(name: str) -> None:
    some = [case for case in chosen("wrapper", "resume", every=3) if "sgd" in case.id]
    (diagnosis,) = diagnose(results(program(name), some, "float64"))
    assert named(diagnosis.explanations) == {frozenset({f"{name}-until-loading"})}


@pytest.mark.parametrize("name", ["wrapper-subnormal", "wrapper-overflow"])
def test_checks_that_tell_nothing_about_causes_are_reported_without_any(name: str) -> None:
    case = load().case(name)
    with np.errstate(all="ignore"):
        seen = observe(case, "float32", program()())
    seen.steps.fast[-1] = seen.steps.fast[-1] * np.nan
    found = [Result(case, "float32", "failed", "", judge(case, seen, "float32"), seen)]
    said = " ".join(in_plain_words(summarize("it", found, diagnose(found))))
    assert "No known mistake explains this" in said
    assert ("NaN of an infinity" in said) == name.endswith("overflow")
    stopped = Result(load().case("smoke-resume"), "float32", "error", "TypeError")
    assert ["compare what is loaded" in x for x in summarize("", [stopped], ())["hints"]]


def test_two_explanations_are_both_reported_the_likelier_first() -> None:
    # Never, or only if k is 1: the same where k is 2.
    some = [case for case in chosen("wrapper") if case.data["lookahead"][0]["k"] == 2]
    (diagnosis,) = diagnose(results(program("never-synchronizes"), some, "float64"))
    message = [bug.name for (bug,) in diagnosis.explanations]
    assert message == ["never-synchronizes", "count-frozen-by-tracing"]


@pytest.mark.parametrize("answers", [False, True])
def test_a_convention_is_reported_only_if_a_case_has_shown_it(answers: bool) -> None:
    found = results(program("alpha-swapped"), chosen("wrapper", every=4), "float64")
    lacking = [case for case in cases("state") if "no-gradient" in case.flags]
    if answers:
        found += results(program("alpha-swapped"), lacking, "float64")
    else:
        found += [Result(case, "float64", "error", "KeyError") for case in lacking]
    (diagnosis,) = diagnose(found)
    assert named(diagnosis.explanations) == {frozenset({"alpha-swapped"})}
    assert diagnosis.conventions == (("no-gradient-skips",) if answers else ())
    assert diagnosis.unobserved == (() if answers else ("no-gradient",))
    *_, said = in_plain_words(summarize("it", found, [diagnosis]))
    assert said.endswith("That is allowed.") == answers


def test_a_convention_that_no_passed_case_shows_is_no_mistake() -> None:
    inside = 'np.sqrt(s["sum_of_squares"] + h["epsilon"])'
    outside = '(np.sqrt(s["sum_of_squares"]) + h["epsilon"])'
    make = changed([*CHANGES["checkpoint-without-slots"], (outside, inside)])
    (diagnosis,) = diagnose(results(make, chosen("resume"), "float64"))
    assert named(diagnosis.explanations) == {frozenset({"checkpoint-without-slots"})}
    assert diagnosis.conventions == ("adagrad-epsilon-in-root",)


READS, WRITES = "reads-bits-swapped", "writes-bits-swapped"


def misread(case: Case, dtype: str, causes: tuple[str, ...], of: str, by: int) -> Result:
    """Take a case with swapped bits, those written as numbers of a precision."""
    given = Case(bits_swapped(case.data)) if READS in causes else case
    with np.errstate(all="ignore"):
        seen = observe(given, dtype, program()())
        for each in (seen.steps.fast, *seen.steps.slow) if WRITES in causes else ():
            each[:] = [x.astype(of).byteswap().astype(float) for x in each]
    seen.steps.fast[-1] = seen.steps.fast[-1] + by
    return Result(case, dtype, "failed", "", judge(case, seen, dtype), seen)


@pytest.mark.parametrize("causes", [(READS,), (WRITES,), (READS, WRITES)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_with_the_last_byte_first_are_named(
    causes: tuple[str, ...], dtype: str
) -> None:
    some = chosen("wrapper", every=8)
    (diagnosis,) = diagnose([misread(each, dtype, causes, "float64", 0) for each in some])
    # Zero in float32, however it is written; in float64 it seems to rest, if so written.
    if len(causes) == 2:
        causes = (READS,) if dtype == "float32" else ("weights-never-move",)
    assert named(diagnosis.explanations) == {frozenset(causes)}


@pytest.mark.parametrize("causes", [(READS,), (READS, WRITES), (WRITES,)], ids=str)
def test_swapped_bits_are_named_whatever_the_arithmetic_makes_of_them(
    causes: tuple[str, ...],
) -> None:
    some = enumerate(product(chosen("wrapper", every=6), ("float32", "float64")))
    found = [misread(*each, causes, each[1], number % 3 == 2) for number, each in some]
    (diagnosis,) = diagnose(found)
    assert named(diagnosis.explanations) == {frozenset(causes)}
    assert diagnosis.exceptions


def test_a_mistake_in_one_precision_alone_is_told_with_it() -> None:
    right = "start + alpha * (slots[slot] - start)"
    wrong = f'{right} if start.dtype == "float32" else slots[slot]'
    found = results(changed([(right, wrong)]), chosen("state"))
    ((cause,), *_) = diagnose(found)[0].explanations
    assert cause.name == "interpolated-slots-aliased"
    assert cause.says.endswith(" as what to interpolate from, in float64 alone")
