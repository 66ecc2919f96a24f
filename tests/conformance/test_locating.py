"""Which steps are wrong in themselves, where no known cause explains what was seen."""

import pytest
from conformance.running import chosen, results
from conformance.wrong import OUTER, PHI, changed, program

from lookahead_ref.conformance import load
from lookahead_ref.conformance.bugs import by_name
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.findings import Diagnosis
from lookahead_ref.conformance.locating import departures
from lookahead_ref.conformance.reports import LIMIT, diagnosis_lines, in_plain_words
from lookahead_ref.conformance.summary import summarize

ELSEWHERE = f"{PHI}\n        for phi in self.phi.values(): phi[...] = 0.01 + 0.1 * phi**2"
FIRST = "phi.reshape(-1)[:1] += alpha * (theta - phi).reshape(-1)[:1]"
ZEROS, HALVES = (
    "zeros(inner.inner.rule, self.phi[name])",
    "{n: x / 2 for n, x in slots.items()}",
)
WRONG = {
    (
        PHI,
        ELSEWHERE,
    ): "wrong slow weights and fast weights in all 26 steps at the start",
    (
        OUTER,
        f"{OUTER} ** 3",
    ): " in 62 of 64 steps at synchronizations; the first is step 1",
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
    assert "finds wrong slow weights" in told
    assert " right after a state is loaded, between synchronizations; the first is" in told
    assert told in in_plain_words(summary)


def test_of_what_is_left_over_the_steps_are_told_that_the_causes_do_not_explain() -> None:
    case, bug = load().case("wrapper-k2-alpha0.8"), by_name("alpha-swapped")
    (result,) = found = results(program(bug.name), [case], "float64")
    assert departures(found, frozenset({bug})) == ()
    assert result.seen
    result.seen.steps.fast[-1] *= 3
    (told,) = departures(found, frozenset({bug}))
    assert told.endswith(f"the first is step {case.steps} of {case.id} (float64)")
    left = Diagnosis((), ((bug,),), (case.id,), limited=True, departures=(told,))
    summary = summarize("it", found, [left])
    line = "With these causes, computing each step from what was shown before it finds "
    for said in (
        [each for _, each in diagnosis_lines(summary)],
        [*in_plain_words(summary)],
    ):
        assert f"{line}{told}." in said
        assert LIMIT in said
