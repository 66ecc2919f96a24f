"""The oracles against numbers worked out by hand, and against other formulas."""

import ast
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref.conformance import cases, models, optimizer_cases, oracle, within
from lookahead_ref.conformance.bugs import BUGS, CONVENTIONS, KNOWN, by_name, simulate
from lookahead_ref.conformance.case_building import (
    PAIR,
    adagrad,
    adam,
    build,
    given_tape,
    heavy_ball,
    lookahead,
    nesterov,
    quadratic,
    sgd,
    with_outer,
)

ONE = {"x": (1,)}


def fast(case: dict[str, Any]) -> list[Any]:
    return [step.fast[0][0] for step in oracle.run(case)]


def constant(
    levels: Any, inner: Any, steps: int, start: float = 8.0, g: float = 1.0
) -> dict[str, Any]:
    return build(
        "hand", "LA-1", levels, inner, steps,
        shapes=ONE, initial=[[start]], problem=given_tape([[[g]]] * steps),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        (oracle, {"functools", "hashlib", "math", "mpmath", "struct"}),
        (models, {"itertools", "lookahead_ref.conformance.oracle"}),
    ],
)
def test_it_imports_nothing_but_mpmath_and_the_standard_library(
    module: Any, allowed: set[str]
) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or ".")
    assert imported == {"collections.abc", "typing", *allowed}


def test_it_computes_with_50_digits() -> None:
    (step,) = oracle.run(constant(lookahead(5, 0.5), sgd(0.1), 1, start=0.0))
    # 0.1 is not a tenth: the value is exact for the binary number.
    assert step.fast[0][0] * 2**55 == -3602879701896397


def test_lookahead_around_sgd_by_hand() -> None:
    steps = oracle.run(constant(lookahead(2, 0.5), sgd(1.0), 5))
    assert [s.fast[0][0] for s in steps] == [7, 7, 6, 6, 5]
    assert [s.slow[0][0][0] for s in steps] == [8, 7, 7, 6, 6]
    assert [s.synchronized for s in steps] == [[False], [True], [False], [True], [False]]


LONG = lookahead(9, 0.5)


@pytest.mark.parametrize(
    ("levels", "inner", "expected"),
    [
        # Alpha moves phi towards theta.
        (lookahead(2, 0.25), sgd(1.0), [7, 7.5]),
        # Schedules see their clocks: 8-4=4, 4-2=2 -> 5; 5-1, 4-1=3 -> 4.5; 3.5, 2.5 -> 4.
        (lookahead(2, [0.5, 0.25]), sgd([4.0, 2.0, 1.0]), [4, 5, 4, 4.5, 3.5, 4]),
        (LONG, heavy_ball(0.5, momentum=0.5), [7.5, 6.75, 5.875]),
        (LONG, nesterov(0.5, momentum=0.5), [7.25, 6.375]),
        # Weight decay uses the old weights.
        (LONG, heavy_ball(0.5, momentum=0.5, l2=0.25), [6.5, 4.4375]),
        (LONG, heavy_ball(0.5, momentum=0.5, decoupled=0.25), [6.5, 4.9375]),
    ],
)
def test_weights_by_hand(levels: Any, inner: Any, expected: list[float]) -> None:
    assert fast(constant(levels, inner, len(expected))) == expected


def test_adagrad_and_adam_by_hand() -> None:
    # s = 16, then 32 - 16 ... with g = 4: 1, then 4 / sqrt(32)
    first, second = fast(constant(LONG, adagrad(1.0, epsilon=4.0), 2, g=4.0))
    assert first == 7.5
    assert abs(second - (first - 4 / (oracle.Exact.sqrt(32) + 4))) < 1e-45
    # Corrected moments of a constant gradient are that gradient.
    found = fast(constant(LONG, adam(1.0, beta1=0.5, beta2=0.75, epsilon=2.0), 3, g=2.0))
    assert all(abs(x - y) < 1e-45 for x, y in zip(found, [7.5, 7, 6.5], strict=True))


@pytest.mark.parametrize(
    ("inner_state", "velocities", "weights"),
    [
        # v: 1, 1.5 | theta: 7, 5.5 -> 6.75
        ("maintain", [1, 1.5, 1.75], [7, 6.75, 5]),
        ("reset", [1, 0, 1], [7, 6.75, 5.75]),
        ("interpolate", [1, 0.75, 1.375], [7, 6.75, 5.375]),
    ],
)
def test_the_inner_state_at_a_synchronization(
    inner_state: str, velocities: list[float], weights: list[float]
) -> None:
    steps = oracle.run(
        constant(lookahead(2, 0.5, inner_state), heavy_ball(1.0, momentum=0.5), 3)
    )
    assert [s.slots["velocity"][0][0] for s in steps] == velocities
    assert [s.fast[0][0] for s in steps] == weights


def test_reset_restarts_the_bias_correction_and_not_the_schedule() -> None:
    inner = adam([1.0, 0.5, 0.25], beta1=0.5, beta2=0.75, epsilon=2.0)
    found = fast(constant(lookahead(2, 0.5, "reset"), inner, 3, g=2.0))
    assert all(abs(x - y) < 1e-45 for x, y in zip(found, [7.5, 7.625, 7.5], strict=True))


def test_nested_synchronizations_by_hand() -> None:
    steps = oracle.run(constant([lookahead(3, 0.5), lookahead(2, 0.5)], sgd(1.0), 5))
    # inner: 7, 6 -> 7; 6; outer: 8 + (6 - 8)/2 = 7, the inner phi too; then 6 at the 4th
    # step: the inner count goes on, so that step 4 synchronizes 7 + (6 - 7)/2.
    assert [s.fast[0][0] for s in steps] == [7, 7, 7, 6.5, 5.5]
    assert [s.slow[0][0][0] for s in steps] == [8, 8, 7, 7, 7]
    assert [s.slow[1][0][0] for s in steps] == [8, 7, 7, 6.5, 6.5]
    assert steps[2].synchronized == [True, False]
    assert steps[3].synchronized == [False, True]


HALF = {"momentum": 0.5}


@pytest.mark.parametrize(
    ("outer", "weights"),
    [
        # The fast weights lose 2 in a cycle, so that the pseudo-gradient is 2.
        (sgd(0.5), [7, 7, 6, 6]),
        (sgd(1.5), [7, 5, 4, 2]),
        (sgd([0.5, 1.0]), [7, 7, 6, 5]),
        (heavy_ball(0.5, **HALF), [7, 7, 6, 5.5]),  # v: 2, 3
        (nesterov(0.5, **HALF), [7, 6.5, 5.5, 4.75]),  # u: 3, 3.5
        (sgd(0.5, l2=0.25), [7, 6, 5, 4.25]),  # 2 + 8 / 4, 2 + 6 / 4
        (heavy_ball(0.5, l2=0.25, **HALF), [7, 6, 5, 3.25]),  # v: 4, 5.5
        (heavy_ball(0.5, decoupled=0.25, **HALF), [7, 6, 5, 3.75]),  # u: 4, 4.5
    ],
)
def test_the_outer_step_by_hand(outer: Any, weights: list[float]) -> None:
    assert fast(constant(with_outer(2, outer), sgd(1.0), 4)) == weights


def test_slots_are_interpolated_by_the_outer_learning_rate_and_at_most_by_1() -> None:
    for rate, velocity in ((0.5, 0.75), (1.5, 1.5)):
        level = with_outer(2, sgd(rate), "interpolate")
        steps = oracle.run(constant(level, heavy_ball(1.0, **HALF), 2))
        assert steps[1].slots["velocity"] == [[velocity]]


@pytest.mark.parametrize(("state", "velocity"), [("maintain", 3.5), ("reset", 2.0)])
def test_a_reset_around_renews_the_outer_state_below(state: str, velocity: float) -> None:
    level = with_outer(2, heavy_ball(0.5, **HALF))
    # Below 8 -> 7 -> 5.5, with v: 2, 3; above 8 + (5.5 - 8) / 2 = 6.75.
    steps = oracle.run(constant([lookahead(4, 0.5, state), level], sgd(1.0), 6))
    assert [steps[t].fast[0][0] for t in (1, 3)] == [7, 6.75]
    assert steps[5].fast[0][0] == 6.75 - 0.5 * velocity


def of_two(
    level: Any, inner: Any, steps: int = 4, starts: Any = (8.0, 8.0), second: float = 3.0
) -> dict[str, Any]:
    """Two workers, of one weight each, whose gradients are constant, the first one's 1."""
    tape = given_tape([[[1.0], [second]]] * steps)
    return build(
        "hand", "WO-1", level, inner, steps, shapes={"1/x": (1,), "2/x": (1,)}, workers=2,
        initial=[[start] for start in starts], problem=tape,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("level", "phi"),
    [
        # The fast weights lose 2 and 6 in a cycle, 4 on average.
        (lookahead(2, 0.5), [6, 4]),
        (with_outer(2, sgd(1.5)), [2, -4]),
        (with_outer(2, heavy_ball(0.5, **HALF)), [6, 3]),  # v: 4, 6
        (with_outer(2, nesterov(0.5, **HALF)), [5, 1.5]),  # u: 6, 7
        (with_outer(2, sgd(0.5, decoupled=0.25)), [5, 2.375]),  # 4 + 8 / 4, 4 + 5 / 4
    ],
)
def test_workers_by_hand(level: Any, phi: list[float]) -> None:
    for starts in ((8.0, 8.0), (8.0, 1.0)):  # all start where the first does
        steps = oracle.run(of_two(level, sgd(1.0), starts=starts))
        assert steps[0].fast == [[7], [5]]
        assert [[x] * 2 for x in phi] == [[x for (x,) in steps[t].fast] for t in (1, 3)]
        assert [steps[2].fast[n][0] - phi[0] for n in (0, 1)] == [-1, -3]


def test_the_inner_state_of_workers_is_their_own() -> None:
    steps = oracle.run(of_two(lookahead(2, 0.5), heavy_ball(1.0, **HALF)))
    assert [steps[t].slots["velocity"] for t in (0, 1, 2)] == [
        [[1], [3]],
        [[1.5], [4.5]],
        [[1.75], [5.25]],
    ]


@pytest.mark.parametrize(
    ("outer", "same"),
    [
        (sgd(0.7), True),
        (heavy_ball(0.7), True),
        (nesterov([0.7, 0.3]), True),
        (nesterov(0.7, l2=0.1), True),
        (heavy_ball(0.7, decoupled=0.1), True),
        (adagrad(0.1), False),
        (adam(0.1), False),
    ],
)
def test_weights_may_be_averaged_after_an_outer_step_that_is_linear(
    outer: Any, same: bool
) -> None:
    case = of_two(with_outer(2, outer), heavy_ball(), steps=6, second=-3.0)
    averaged = simulate(case, oracle.Exact(), [by_name("weights-averaged")]).steps
    pairs = zip(averaged, oracle.run(case), strict=True)
    apart = max(abs(a.fast[0][0] - b.fast[0][0]) for a, b in pairs)
    assert apart < 1e-40 if same else apart > 1e-3


def test_a_parameter_without_a_gradient_stays_and_synchronizes() -> None:
    case = build(
        "gap", "no-gradient", lookahead(2, 0.5), heavy_ball(1.0, momentum=0.5), 3,
        shapes=PAIR, missing={"second": (2,)},
    )  # fmt: skip
    first, second, _ = oracle.run(case)
    start = [oracle.Exact.number(oracle.value(b)) for b in case["params"][1]["values"]]
    assert second.slots["velocity"][1] == first.slots["velocity"][1]
    middle = [(a + b) / 2 for a, b in zip(start, first.fast[1], strict=True)]
    assert second.fast[1] == middle


def test_a_quadratic_by_hand() -> None:
    case = build(
        "loop", "closed-loop", lookahead(9, 0.5), sgd(0.5), 1, shapes={"x": (2,)},
        initial=[[1.0, 3.0]], problem=quadratic([[2.0, 1.0, 1.0, 4.0]], [[0.0, 2.0]]),
    )  # fmt: skip
    assert oracle.run(case)[0].fast == [[-0.5, 0.5]]  # gradient (3, 5)


@given(
    st.lists(st.integers(-64, 64), min_size=1, max_size=12),
    st.integers(1, 4),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_phi_is_the_average_of_equation_0_1(
    gradients: list[int], k: int, alpha: float
) -> None:
    case = build(
        "average", "outer-update", lookahead(k, alpha), sgd(1.0), len(gradients),
        shapes=ONE, initial=[[3.0]], problem=given_tape([[[float(g)]] for g in gradients]),
    )  # fmt: skip
    steps = oracle.run(case)
    a, phi = Fraction(alpha), Fraction(3)
    ends: list[Fraction] = []
    for t in range(1, len(gradients) // k + 1):
        ends.append(phi - sum(gradients[(t - 1) * k : t * k]))
        # phi after t cycles: alpha sum (1 - alpha)^(t - i) theta_i + (1 - alpha)^t phi_0
        phi = a * sum((1 - a) ** (t - 1 - i) * end for i, end in enumerate(ends))
        phi += (1 - a) ** t * 3
        found = steps[t * k - 1].slow[0][0][0]
        assert found == phi.numerator / oracle.Exact.number(phi.denominator)


def test_a_simulation_without_bugs_is_the_oracle() -> None:
    for name in ("smoke", "nesting", "schedule", "outer", "workers"):
        for case in optimizer_cases.FILES[name]():
            run, steps = simulate(case, oracle.Exact()), oracle.run(case)
            assert run.steps == steps
            if run.resumed:
                assert run.resumed == steps[case["save_after"] :]
            for t, weights in run.evaluations.items():
                assert weights == steps[t - 1].slow[0]


def test_every_bug_and_convention_shows_in_a_case() -> None:
    suite = [case for case in cases() if "overflow" not in case.flags]
    for bug in (*BUGS, *CONVENTIONS):
        assert any(
            bug.name in {*case.flags, *(outcome.name for outcome in case.outcomes)}
            for case in suite
            if bug.applies(case.data)
        ), bug.name


def test_every_bug_and_mistake_does_something_else_in_a_case() -> None:
    suite = [case.data for case in cases() if "overflow" not in case.flags]
    for bug in KNOWN:
        if bug.edits:  # whose words are in the oracle
            some = (case for case in suite if bug.applies(case))
            assert any(
                simulate(case, oracle.Double(), [bug]) != simulate(case, oracle.Double())
                for case in some
            ), bug.name


def test_missing_gradients_pass_with_every_convention_of_the_inner_rule() -> None:
    late = [case for case in cases() if "no-gradient" in case.flags]
    missing = [each for each in CONVENTIONS if each.place == "no_gradient"]
    rules, shown = [each for each in CONVENTIONS if each not in missing], set()
    for case, *both in product(late, rules, missing):
        if all(each.applies(case.data) for each in both):
            shown.add(both[0].name)
            (message,) = (each for each in case.outcomes if each.name == both[1].name)
            for t, step in enumerate(simulate(case.data, oracle.Double(), both).steps, 1):
                assert within(np.concatenate(step.fast), message.fast, t, "float64"), both
    assert shown >= {"adagrad-epsilon-in-root", "epsilon-hat"}


@pytest.mark.parametrize("rule", [heavy_ball, nesterov])
@pytest.mark.parametrize("kind", ["none", "l2", "decoupled"])
def test_both_forms_of_momentum_agree_at_a_constant_learning_rate(
    rule: Any, kind: str
) -> None:
    inner = rule() if kind == "none" else rule(**{kind: 0.25})
    case = build("velocity", "IN-12", lookahead(3, 0.5), inner, 8)
    varied = simulate(case, oracle.Exact(), [by_name("learning-rate-in-velocity")])
    for step, expected in zip(varied.steps, oracle.run(case), strict=True):
        for got, want in zip(step.fast[0], expected.fast[0], strict=True):
            assert abs(got - want) < 1e-40
