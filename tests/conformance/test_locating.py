"""Which steps are wrong in themselves, where no known cause explains what was seen."""

from dataclasses import replace

import pytest
from conformance.running import chosen, named, results
from conformance.wrong import OUTER, PHI, changed, program

from lookahead_ref.conformance import load
from lookahead_ref.conformance.bugs import by_name
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.locating import departures, steps_of
from lookahead_ref.conformance.reports import LIMIT, diagnosis_lines, in_plain_words
from lookahead_ref.conformance.summary import summarize

ELSEWHERE = f"{PHI}\n        for phi in self.phi.values(): phi[...] = 0.01 + 0.1 * phi**2"
FIRST = "phi.reshape(-1)[:1] += alpha * (theta - phi).reshape(-1)[:1]"
ZEROS, HALVES = (
    "zeros(inner.inner.rule, self.phi[name])",
    "{n: x / 2 for n, x in slots.items()}",
)
WRONG = {
    (PHI, ELSEWHERE): "wrong slow weights and fast weights in all 26 steps at the start",
    (OUTER, f"{OUTER} ** 3"): " in 62 of 64 steps at synchronizations; the first is step 1",
    (OUTER, FIRST): "slow weights, of all elements but the first of each parameter, in ",
    (ZEROS, HALVES): " in all 14 steps at synchronizations, with inner state that is reset",
}


@pytest.mark.parametrize(("change", "said"), WRONG.items())
def test_only_steps_that_do_something_wrong_themselves_are_wrong(
    change: tuple[str, str], said: str
) -> None:
    some = chosen("wrapper", "state", every=4)
    (told,) = departures(results(changed([change]), some, "float32"), frozenset())
    assert said in told
    assert told.endswith(". So phi does not start as the parameters") == (PHI in change)


def test_where_nothing_explains_it_the_steps_are_told_once() -> None:
    found = results(program("half-the-phi-loaded"), chosen("resume", every=4), "float32")
    summary = summarize("it", found, diagnose(found))
    (_, first), (_, told) = diagnosis_lines(summary)
    assert first.startswith("No known bugs explain this")
    assert "wrong slow weights in all 6 steps right after a state is loaded, " in told
    assert told in in_plain_words(summary)


def test_a_profile_that_nothing_explains_leaves_the_others_their_causes() -> None:
    some, others = chosen("wrapper", every=4), chosen("resume", every=4)
    wrong = results(program("half-the-phi-loaded"), others, "float32")
    found = [*results(program("alpha-swapped"), some, "float32"), *wrong]
    (diagnosis,) = diagnose(found)
    assert named(diagnosis.explanations) == {frozenset({"alpha-swapped"})}
    assert {*diagnosis.exceptions} == {r.case.id for r in wrong if r.status == "failed"}
    (told,) = diagnosis.departures
    start = "With these causes, computing each step from what was shown before it finds "
    summary = summarize("it", found, [replace(diagnosis, limited=True)])
    for said in ([each for _, each in diagnosis_lines(summary)], in_plain_words(summary)):
        assert {f"{start}{told}.", LIMIT} <= {*said}


EXPLAINED = {
    "shows-slow-for-fast": "wrapper",
    "shown-column-by-column": "state",
    "outer-decay-on-theta outer-step-skipped": "outer",  # which cannot be simulated
}


@pytest.mark.parametrize(("causes", "profile"), EXPLAINED.items())
def test_steps_that_causes_explain_are_not_wrong(causes: str, profile: str) -> None:
    found = results(program(causes.split()[0]), chosen(profile, every=6), "float32")
    assert departures(found, frozenset(map(by_name, causes.split()))) == ()


def test_evaluated_weights_are_compared_too() -> None:
    found = results(program("evaluates-fast-weights"), chosen("evaluation", every=4))
    assert departures(found, frozenset())[0].startswith("wrong evaluated weights in ")


def test_cycles_go_on_after_loading() -> None:
    (result,) = results(program(), [load().case("resume-sgd-after1")], "float64")
    places = {(x.number, x.cycle, x.is_first) for x in steps_of(result, frozenset())}
    assert len(places) == result.case.steps
