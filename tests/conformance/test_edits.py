"""Where no bug with a name explains a program, small edits of the oracle are tried."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from conformance.running import results
from conformance.wrong import LOADED, changed

from lookahead_ref.conformance import Case, cases, judge, load, oracle
from lookahead_ref.conformance.bugs import simulate
from lookahead_ref.conformance.bugs.simulation import Edit
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.edits import PLACES, edits_of
from lookahead_ref.conformance.judging import Observation, Result, Trajectory
from lookahead_ref.conformance.reports import in_plain_words
from lookahead_ref.conformance.summary import summarize


def some_cases() -> list[Case]:
    """Return a few small cases of each profile, with plain numbers."""
    untold = {"overflow", "subnormal", "no-gradient"}
    chosen: dict[str, list[Case]] = {}
    for case in sorted(cases(), key=lambda each: each.size):
        if not untold & set(case.flags):
            chosen.setdefault(case.profile, []).append(case)
    return [case for each in chosen.values() for case in each[1:30:14]]


def observed(case: Case, edit: type[Edit]) -> Result:
    """Take a case through the edited oracle."""

    def flat(tensors: oracle.Tensors) -> Any:
        return np.array([x for xs in tensors for x in xs])

    def trajectory(steps: list[oracle.Step]) -> Trajectory:
        return Trajectory(
            [flat(step.fast) for step in steps],
            [[flat(phi) for phi in step.slow] for step in steps],
            [{name: flat(x) for name, x in step.slots.items()} for step in steps],
        )

    run = simulate(case.data, oracle.Double(), [edit])
    evaluations = {step: flat(weights) for step, weights in run.evaluations.items()}
    seen = Observation(trajectory(run.steps), trajectory(run.resumed), evaluations)
    verdict = judge(case, seen, "float64")
    status: Any = "passed" if verdict.passed else "failed"
    return Result(case, "float64", status, "", verdict, seen)


def first_that_shows(edits: Sequence[type[Edit]]) -> list[Result]:
    """Return what is observed of the first that runs and fails a case."""
    for edit in edits:
        chosen = [case for case in some_cases() if edit.applies(case.data)]
        with contextlib.suppress(Exception):
            found = [observed(case, edit) for case in chosen]
            if "failed" in {each.status for each in found}:
                return found
    raise AssertionError("no edit shows")


@pytest.mark.slow
@pytest.mark.parametrize("twelfth", range(12))
def test_an_edit_of_the_oracle_is_found_again(twelfth: int) -> None:
    edits = [edit for place in PLACES for edit in edits_of(place)]
    found = first_that_shows(edits[twelfth * len(edits) // 12 :])
    (diagnosis,) = diagnose(found)
    assert diagnosis.explanations
    # One with a name that leaves something over is told before an edit that does not.
    causes = [cause for some in diagnosis.explanations for cause in some]
    assert not (diagnosis.exceptions and any(issubclass(each, Edit) for each in causes))


SYNC, INNER = "OracleLookahead.synchronize", "OracleInner.step"


@pytest.mark.parametrize(
    ("title", "says", "line"),
    [
        (SYNC, "uses the fast weights instead of phi", "self.inner.follow(theta)"),
        (SYNC, "has the fast weights + alpha (", "interpolate(theta, self.phi, alpha)"),
        (SYNC, "uses phi of the time before", "return late(self, 'self.phi', self.phi)"),
        (SYNC, "rounds alpha to float32", "alpha = single(at(self.alpha, self.syncs))"),
        (SYNC, "divides alpha by k", "scaled(at(self.alpha, self.syncs), 1 / self.k)"),
        (SYNC, "multiplies alpha by C", "alpha = scaled(at(self.alpha, self.syncs), C)"),
        (SYNC, "moves phi by alpha towards what", "interpolate(self.phi, self.outer_step("),
        (SYNC, "sets phi whether or not there is no outer", "if True:"),
        (SYNC, "sets phi never, even if there is no outer", "if False:"),
        (SYNC, "does not raise the count of synchronizations", "pass"),
        (SYNC, "sets the count of synchronizations to 0", "self.syncs = 0"),
        (SYNC, "raises the clock of alpha's schedule once a p", "self.syncs += len(theta)"),
        (INNER, "begins the table of the", "[self.clock % len(self.learning_rate)]"),
        (INNER, "takes the first entry", "gamma = self.learning_rate[0]"),
        (INNER, "keeps one count for all parameters", "self.count[0] += 1"),
        (INNER, "ends the loop where it should go on", "break"),
        (INNER, "does this once for each parameter: raise the", "    self.clock += 1"),
        (INNER, "uses the learning rate from before it is set", "update, old, *each"),
        (
            "OracleInner.element",
            "leaves the weight out of weight decay *",
            "h['weight_decay']",
        ),
        ("OracleInner.element", "has the weight + (", "(x + gamma * direction, *slots_"),
        ("adam", "takes the larger of", "max(sqrt(v / bias2), h['epsilon'])"),
        ("adam", "exchanges beta1 and beta2", "m = h['beta2'] * m + rest1 * g"),
        ("adam", "uses beta2 instead of beta1 throughout", "m = h['beta2'] * m + rest1"),
        ("adam", "has sqrt((v / ", "sqrt(v / bias2 + h['epsilon'])"),
        ("adam", "leaves the root out of sqrt(v)", "(v + h['epsilon'] * sqrt(bias2))"),
        ("OracleLookahead.__init__", "takes 1.0 instead", "fractions = [1.0 for bits in"),
        ("OracleLookahead.advance", "asks whether the count of steps", "step != self.k"),
        (
            "OracleLookahead.advance",
            "uses one more than k",
            "self.cycle_step == self.k + 1",
        ),
        (
            "OracleLookahead.advance",
            "counts a step for each",
            "-(-self.k // len(self.phi))",
        ),
        ("OracleLookahead.advance", "does this twice: raise", "self.cycle_step += 1"),
        ("OracleLookahead.step", "ignores what the inner", "self.advance(theta, grads)"),
        (
            "OracleLookahead.step",
            "does this later than it",
            "theta = self.advance(theta, gr",
        ),
        ("OracleWorkers.synchronize", "leaves the first of them out", "in each][1:])"),
        (
            "OracleWorkers.synchronize",
            "does this once for each worker",
            "    found = self.",
        ),
    ],
)
def test_an_operator_makes_a_line_of_a_line(title: str, says: str, line: str) -> None:
    edits = [edit for place in PLACES if place.title == title for edit in edits_of(place)]
    lines = [x for edit in edits if edit.says.startswith(says) for x in edit.changed()]
    assert any(each[0] == "+" and line in each for each in lines)


def test_every_edit_is_said_in_words() -> None:
    edits = [edit for place in PLACES for edit in edits_of(place)]
    unsaid = [edit.says for edit in edits if "in another way" in edit.says]
    assert len(unsaid) < len(edits) / 200


TO_PHI = """        for name, theta in self.params.items():
            theta[...] = self.phi[name]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "says", "line"),
    [
        (
            "self.phi[name] - theta for",
            "(self.phi[name] - theta) / self.k for",
            "divides the pseudo-gradient by k",
            "+    return outer.step(self.phi, scaled(self.pseudo_gradient(theta), 1 / self.k))",  # noqa: E501
        ),
        (
            "1 - beta1**t, 1 - beta2**t",
            "1 - beta1**t, 1 - beta1**t",
            "uses beta1 instead of beta2, in Adam",
            "+    bias1, bias2 = (1 - h['beta1'] ** t, 1 - h['beta1'] ** t)",
        ),
        (
            "theta[...] = self.phi[name]\n            yield",
            "theta[...] = getattr(self.inner, 'phi', self.phi)[name]\n            yield",
            "uses phi of the Lookahead within instead of phi, in an evaluation",
            "+    return (getattr(outermost.inner, 'phi', outermost.phi), theta)",
        ),
        (
            "phi += alpha * (theta - phi)",
            "phi += alpha * (phi - theta)",
            "multiplies alpha by -1, in a synchronization",
            "+        self.phi = interpolate(self.phi, theta, scaled(alpha, -1))",
        ),
        (
            LOADED,
            f"        vars(self).update(saved)\n{TO_PHI}        if self.outer:\n",
            "sets the fast weights to phi, in loading a state",
            "+    theta = outermost.phi",
        ),
        (
            "alpha = self.alpha(self.syncs)",
            "alpha = self.alpha(self.syncs + 1)",
            "uses one more than the count of synchronizations",
            "+    alpha = at(self.alpha, self.syncs + 1)",
        ),
        (
            "phi += alpha * (theta - phi)",
            "phi.flat[:-1] += alpha * (theta - phi).flat[:-1]",
            "of the last element of each parameter alone",
            "+        pass",
        ),
    ],
)
def test_an_edit_is_reported_in_a_sentence_and_as_a_diff(
    right: str, wrong: str, says: str, line: str
) -> None:
    chosen = [*some_cases(), load().case("evaluation-nested")]
    found = results(changed([(right, wrong)]), chosen, "float64")
    summary = summarize("it", found, diagnose(found))
    words = list(in_plain_words(summary))
    assert any(says in each for each in words)
    causes = [cause for each in summary["diagnosis"][0]["explanations"] for cause in each]
    assert line in [line for cause in causes for line in cause["diff"]]
