"""Correct programs pass with any order of arithmetic and any hidden values."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from conformance.running import results, statuses
from conformance.wrong import OUTER, VELOCITY, changed, program

from lookahead_ref.conformance import Verdict, cases, judge, load, observe, within

# Forms of the outer update: lines of the worked port, and others for them.
OUTERS = {
    "paper": [(OUTER, "phi[...] = fma(alpha, theta - phi, phi)")],
    "convex": [
        (OUTER, "phi[...] = fma(1 - alpha, phi, alpha * theta)"),
        (
            "start + alpha * (slots[slot] - start)",
            "fma(1 - alpha, start, alpha * slots[slot])",
        ),
    ],
    "delta": [("theta[...] = phi\n", "theta += phi - theta\n")],
}
# The rest: in the working precision, Adam as PyTorch has it, and fused where it can be.
REST = [
    (
        "h = inner.hyperparameters",
        "h = {n: theta.dtype.type(x) for n, x in inner.hyperparameters.items()}",
    ),
    ('sqrt(s["second_moment"] / bias2)', 'sqrt(s["second_moment"]) / np.sqrt(bias2)'),
    ('(s["first_moment"] / bias1) /', 's["first_moment"] * (1 / bias1) /'),
    (VELOCITY, 's["velocity"] = fma(h["momentum"], s["velocity"], g)'),
    (
        'g + h["momentum"] * heavy_ball(g, s, t)',
        'fma(h["momentum"], heavy_ball(g, s, t), g)',
    ),
    ('s["sum_of_squares"] + g * g', 'fma(g, g, s["sum_of_squares"])'),
    (
        'beta1 * s["first_moment"] + (1 - beta1) * g',
        'fma(beta1, s["first_moment"], (1 - beta1) * g)',
    ),
    (
        'beta2 * s["second_moment"] + (1 - beta2) * (g * g)',
        'fma(beta2, s["second_moment"], (1 - beta2) * (g * g))',
    ),
    ('g + h["weight_decay"] * theta', 'fma(h["weight_decay"], theta, g)'),
    ('u + h["weight_decay"] * theta', 'fma(h["weight_decay"], theta, u)'),
    ("theta -= update(", "theta[...] = fma(-rate, update("),
    ("self.count[name], rate)", "self.count[name], 1.0), theta)"),
]


def fused(a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded (almost) once."""
    wide = np.float64 if c.dtype == np.float32 else np.longdouble
    return (wide(a) * wide(b) + wide(c)).astype(c.dtype)


@pytest.mark.parametrize(
    ("form", "fma", "dtype"), [*product(OUTERS, (False, True), ("float32", "float64"))]
)
def test_correct_programs_pass_every_case_by_tolerances_neither_tight_nor_wide(
    form: str, fma: bool, dtype: str
) -> None:
    kind = changed([*OUTERS[form], *REST], fma=fused if fma else lambda a, b, c: a * b + c)
    verdicts = {r.case.id: r.verdict for r in results(kind, None, dtype) if r.verdict}
    assert {name: v for name, v in verdicts.items() if not v.passed} == {}
    ordinary = ("wrapper-", "inner-adam-", "smoke-wrapper")
    assert 0.1 < max(v.largest for n, v in verdicts.items() if n.startswith(ordinary)) < 0.7


@pytest.mark.parametrize(
    "where", ["slow weights", "velocity", "fast weights after loading", "fast weights"]
)
def test_a_number_that_float32_cannot_represent_fails_anywhere(where: str) -> None:
    case = load().case("resume-heavy-ball-maintain-after4")
    seen = observe(case, "float32", program()(), program())
    steps, again = seen.steps, seen.resumed or seen.steps
    shown = {"velocity": steps.slots[-1]["velocity"], "slow weights": steps.slow[-1][0]}
    shown |= {"fast weights": steps.fast[-1], "fast weights after loading": again.fast[-1]}
    shown[where][0] = np.nextafter(shown[where][0], np.inf)
    (found,) = judge(case, seen, "float32").mismatches
    assert (found.where, found.step, found.distance) == (where, case.steps, 0.0)
    last, expected = seen.steps.fast[-1], case.outcomes[0].fast
    assert within(last, expected, case.steps, "float32") == (where != "fast weights")


def test_a_program_without_gradients_follows_its_variant() -> None:
    # Without a velocity, or while it is zero, this is the same as a gradient of zeros.
    some = [c for c in cases("state") if "no-gradient" in c.flags]
    telling = [c for c in some if {"first", "before"}.isdisjoint(c.id.split("-"))]
    assert len(telling) >= 4
    for each in results(program(), telling, "float64"):
        assert each.verdict is not None
        assert (each.status, each.verdict.outcome) == ("passed", "no-gradient-skips")


def test_flushing_subnormal_numbers_passes_at_gpu_and_not_at_strict() -> None:
    class Flushing(program()):  # type: ignore[misc]
        def step(self, gradients: Any) -> None:
            super().step(gradients)
            slots = self.each[0].innermost.slots.values()
            for arrays in (self.each[0].params, *slots, *self.slow()):
                for array in arrays.values():
                    array[np.abs(array) < np.finfo(np.float32).smallest_normal] = 0

    subnormal = [case for case in cases() if "subnormal" in case.flags]
    assert len(subnormal) >= 3
    for level, status in (("gpu", "passed"), ("strict", "failed")):
        found = results(Flushing, subnormal, "float32", level=level)
        assert statuses(found) == {status}


def judged_late(steps: int, error: float = 0.0) -> Verdict:
    """Judge slow weights and slots that are shown after so many of 6 steps, and wrong."""

    class Late(program()):  # type: ignore[misc]
        def slow(self) -> Any:
            shown = [{k: a + error for k, a in each.items()} for each in super().slow()]
            return shown if self.each[0].innermost.clock > steps else []

        def slots(self) -> Any:
            shown = super().slots().items()
            moved = {n: {k: a + error for k, a in each.items()} for n, each in shown}
            return moved if self.each[0].innermost.clock > steps else {}

    case = load().case("state-heavy-ball-maintain-k2-alpha0.5")
    return judge(case, observe(case, "float64", Late()), "float64")


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 6])
def test_slow_weights_and_slots_may_be_hidden_at_first(steps: int) -> None:
    assert judged_late(steps).passed


@pytest.mark.parametrize("steps", [0, 2])
def test_values_shown_late_fail_at_their_own_step(steps: int) -> None:
    found = [(each.where, each.step) for each in judged_late(steps, 1.0).mismatches]
    assert found == [("slow weights", steps + 1), ("velocity", steps + 1)]
