"""Where no bug with a name explains a program, small edits of the oracle are tried."""

import contextlib
import tomllib
from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.running import UNTOLD, chosen, results
from conformance.wrong import STEP, changed, program

from lookahead_ref.conformance import Case, cases, judge, load, observe, oracle
from lookahead_ref.conformance.bugs import Bug, by_name, simulate
from lookahead_ref.conformance.bugs.simulation import Edit
from lookahead_ref.conformance.comparing import SINGLE, observed_of
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.edits import PLACES, edits_for, edits_of, places_under
from lookahead_ref.conformance.edits.grammar import VARIANTS
from lookahead_ref.conformance.edits.saved import APART, SAVED, SHARED
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.reports import in_plain_words
from lookahead_ref.conformance.searching import Search
from lookahead_ref.conformance.summary import summarize

TABLES = tomllib.loads(Path(__file__).with_name("edits.toml").read_text(encoding="utf-8"))


def some_cases() -> list[Case]:
    """Return a few small cases of each profile, with plain numbers."""
    found: dict[str, list[Case]] = {}
    for case in sorted(cases(), key=lambda each: each.size):
        if not UNTOLD & set(case.flags):
            found.setdefault(case.profile, []).append(case)
    return [case for each in found.values() for case in each[1:30:14]]


def observed(case: Case, *bugs: type[Bug], dtype: str = "float64") -> Result:
    """Take a case through the edited oracle."""
    arithmetic = SINGLE if dtype == "float32" else oracle.Double()
    seen = observed_of(simulate(case.data, arithmetic, bugs))
    verdict = judge(case, seen, dtype)
    return Result(case, dtype, "passed" if verdict.passed else "failed", "", verdict, seen)


def first_that_shows(edits: Sequence[type[Edit]]) -> list[Result]:
    """Return what is observed of the first that runs and fails a case."""
    for edit in edits:
        some = [case for case in some_cases() if edit.applies(case.data)]
        with contextlib.suppress(Exception):
            found = [observed(case, edit) for case in some]
            if "failed" in {each.status for each in found}:
                return found
    raise AssertionError("no edit shows")


@pytest.mark.slow
@pytest.mark.parametrize("twelfth", range(12))
def test_an_edit_of_the_oracle_is_found_again(twelfth: int) -> None:
    edits = [edit for place in PLACES for edit in edits_of(place)]
    (diagnosis,) = diagnose(first_that_shows(edits[twelfth * len(edits) // 12 :]))
    assert diagnosis.explanations
    # One with a name that leaves something over is told before an edit that does not.
    causes = [cause for some in diagnosis.explanations for cause in some]
    assert not (diagnosis.exceptions and any(issubclass(each, Edit) for each in causes))


def edit_that(says: str) -> type[Edit]:
    """Return an edit by its words."""
    return next(e for place in PLACES for e in edits_of(place) if e.says == says)


@pytest.mark.parametrize(("title", "says", "line"), TABLES["lines"])
def test_an_operator_makes_a_line_of_a_line(title: str, says: str, line: str) -> None:
    edits = [edit for place in PLACES if place.title == title for edit in edits_of(place)]
    lines = [x for edit in edits if edit.says.startswith(says) for x in edit.changed()]
    assert any(each[0] == "+" and line in each for each in lines)


def test_every_edit_is_said_in_words() -> None:
    said = [edit.says for place in PLACES for edit in edits_of(place)]
    assert sum("in another way" in each for each in said) < len(said) / 200


def test_every_variant_is_of_some_function_and_unlike_all_others() -> None:
    said = {e.says.partition(", in")[0] for place in PLACES for e in edits_of(place)}
    assert {each["says"].partition(", in")[0] for each in VARIANTS} <= said


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "says"), TABLES["named"])
def test_a_mistake_without_a_name_is_told_in_its_sentence(profile: str, says: str) -> None:
    every = chain(SAVED, SHARED, APART, *map(edits_of, PLACES))
    edit = next(each for each in every if each.says.startswith(says))
    some = [case for each in profile.split(", ") for case in cases(each)]
    some = [case for case in some if not UNTOLD & set(case.flags)]
    found = [observed(case, edit) for case in some]
    (((cause,), *_),) = (each.explanations for each in diagnose(found))
    assert cause.says.startswith(says)


@pytest.mark.parametrize(
    "says",
    ["does AMSGrad", "does NAdam", "does AdaMax", "does RMSProp", "leaves the denominator"],
)
def test_another_rule_is_named_and_not_called_a_rounding(says: str) -> None:
    outer = says == "leaves the denominator"
    of = ("outer", "the outer optimizer's Adam") if outer else ("inner:adam", "Adam")
    adam = [edit for place in PLACES if place.title == "adam" for edit in edits_of(place)]
    edit = next(e for e in adam if e.says.startswith(says) and e.says.endswith(of[1]))
    both = product(chosen(of[0]), ("float32", "float64"))
    found = [observed(case, edit, dtype=dtype) for case, dtype in both]
    (((cause,), *_),) = (each.explanations for each in diagnose(found))
    assert cause.says.startswith(says)


@pytest.mark.slow
def test_two_changes_without_a_name_are_found_one_after_the_other() -> None:
    each, root = "in self.each:\n                worker.params", '(s["sum_of_squares"]'
    changes = [(each, each.replace("each:", "each[:1]:")), (f"{root})", f"{root} / t)")]
    found = results(changed(changes), chosen("workers", "inner:adagrad"), "float64")
    (causes,) = diagnose(found)[0].explanations
    assert sorted(each.says[:12] for each in causes) == ["divides by t", "goes through"]


@pytest.mark.parametrize("says", TABLES["rounded"])
def test_what_is_rounded_to_float32_is_told_as_one_cause(says: str) -> None:
    profile, right, wrong = TABLES["rounded"][says]
    found = results(changed([(right, wrong)], np=np), chosen(profile))
    ((cause,),) = diagnose(found)[0].explanations
    assert cause.says == says


def test_what_is_in_float32_is_compared_with_hyperparameters_of_float32() -> None:
    root = 'root = np.sqrt(s["second_moment"] / bias2) + h["epsilon"]'
    stored = 's["second_moment"] = s["second_moment"] / bias2\n        '
    changes = [(root, stored + root.replace(" / bias2", ""))]
    found = results(changed(changes), chosen("inner:adam", "state"), "float32")
    ((cause,), *_) = diagnose(found)[0].explanations
    assert cause.says.startswith("keeps the corrected second moment as the slot")


@pytest.mark.slow
def test_an_edit_is_found_beside_a_convention_of_the_same_function() -> None:
    edit = edit_that("divides the gradients by k, in the inner optimizer's step")
    zero = by_name("no-gradient-is-zero")
    every = (each for place in places_under([zero]) for each in edits_of(place))
    (both,) = {each for each in every if each.says == edit.says} - {edit}
    some = [case for case in cases("wrapper") if not {"overflow"} & set(case.flags)]
    ((cause,), *_) = diagnose([observed(case, both) for case in some])[0].explanations
    assert (cause.says, cause.place) == (edit.says, zero.place)


@pytest.mark.slow
def test_two_changes_of_one_function_are_told_together() -> None:
    says = "halves the slots where it should reset the inner state, in a synchronization"
    again: Any = edit_that(says).again
    other = "by alpha, and the second moments by its square"
    both = next(each for each in edits_of(again()) if other in each.says)
    some = [case for case in cases("state") if not UNTOLD & set(case.flags)]
    ((cause,), *_) = diagnose([observed(case, both) for case in some])[0].explanations
    assert cause.says == both.says


def test_a_cause_may_show_without_workers_alone() -> None:
    clips = "        gradients = {n: g.clip(-1, 1) for n, g in gradients.items()}\n"
    make = changed([(STEP, f"{clips}{STEP}")])
    found = results(make, chosen("inner:heavy-ball", "workers", every=3), "float64")
    (((cause,), *_),) = (each.explanations for each in diagnose(found))
    assert cause.says.startswith("clips each gradient's elements to between -1 and 1")
    assert cause.says.endswith("where there are no workers")


def test_what_answers_no_numbers_is_not_explained_by_what_cannot_run() -> None:
    found = []
    for case in chosen("wrapper", every=12):
        seen = observe(case, "float64", program()())
        seen.steps.fast[:] = [x * np.nan for x in seen.steps.fast]
        verdict = judge(case, seen, "float64")
        found.append(Result(case, "float64", "failed", "", verdict, seen))
    assert diagnose(found)[0].explanations == ()


def test_the_scalars_that_are_rounded_are_told_though_all_of_float64_fails() -> None:
    where = "in the optimizer's update of an element"
    rate = edit_that(f"rounds the learning rate to float32, {where}")
    momentum = edit_that("rounds momentum to float32, in heavy ball")
    both = product(chosen("inner:heavy-ball"), ("float32", "float64"))
    found = [observed(case, rate, momentum, dtype=dtype) for case, dtype in both]
    (causes, *_) = diagnose(found)[0].explanations
    assert len(causes) == 2
    assert momentum.says in {each.says for each in causes}


def test_a_convention_is_told_with_the_cause_that_is_about_it() -> None:
    skips = by_name("no-gradient-skips-sync")
    says = "uses the first parameter's count instead of the parameter's count"
    counts = edit_that(f"{says}, in the optimizer's step")
    some = [case for case in cases() if "no-gradient" in case.flags]
    found = [observed(case, skips, counts) for case in some]
    (((convention, cause),),) = (each.explanations for each in diagnose(found))
    assert (convention, cause.says) == (skips, counts.says)


def test_a_bug_and_an_edit_that_undo_one_another_are_both_taken_out() -> None:
    undoes = "sets the clock of the learning rate to the count of steps, in each step"
    both = frozenset({by_name("schedule-sees-syncs"), edit_that(undoes)})
    found = [observed(case) for case in chosen("schedule", every=3)]
    search = Search(found, found)
    assert all(search.same(both, each, False) for each in found)
    assert search.needed(both, found, single=False) == frozenset()


def test_a_schedule_is_read_wrongly_where_no_gradient_is_zero_too() -> None:
    zero, case = by_name("no-gradient-is-zero"), load().case("schedule-sgd-decay")
    some = (edit for place in places_under([zero]) for edit in edits_of(place))
    wraps = next(e for e in some if e.place == "no_gradient" and "every sch" in e.says)
    assert wraps not in [edit for (edit, *_) in edits_for([case.data], [zero])]
    lacking = [case for case in cases("state") if "no-gradient" in case.flags]
    found = [observed(each, wraps) for each in (*chosen("schedule", every=3), *lacking)]
    (diagnosis,) = diagnose(found)
    ((cause,), *_) = diagnosis.explanations
    assert (cause.says, diagnosis.exceptions) == (wraps.says, ())


@pytest.mark.slow
def test_an_edit_is_reported_in_a_sentence_and_as_a_diff() -> None:
    right = "phi += alpha * (theta - phi)"
    wrong = "phi.flat[:-1] += alpha * (theta - phi).flat[:-1]"
    says, line = "of the last element of each parameter alone", "+        pass"
    some = [*some_cases(), load().case("evaluation-nested")]
    found = results(changed([(right, wrong)]), some, "float64")
    summary = summarize("it", found, diagnose(found))
    assert any(says in each for each in in_plain_words(summary))
    causes = [cause for each in summary["diagnosis"][0]["explanations"] for cause in each]
    assert line in [line for cause in causes for line in cause["diff"]]


@pytest.mark.slow
def test_an_edit_that_explains_all_but_a_case_is_told_with_it() -> None:
    says = "synchronizes in order to evaluate, and begins a new cycle, in an evaluation"
    other = edit_that("evaluates the mean of phi and the fast weights, in an evaluation")
    *some, last = chosen("evaluation")
    found = [*(observed(case, edit_that(says)) for case in some), observed(last, other)]
    (diagnosis,) = diagnose(found)
    ((cause,),) = diagnosis.explanations
    assert (cause.says, diagnosis.exceptions) == (says, (last.id,))
