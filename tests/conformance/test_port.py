"""Correct programs pass, however they arrange their arithmetic."""

from typing import Any

import numpy as np
import pytest
from conformance.port import Port

from lookahead_ref.conformance import Case, Setup, cases, judge, observe

FORMS = [
    (form, fused, dtype)
    for form in ("paper", "convex", "delta")
    for fused in (False, True)
    for dtype in ("float32", "float64")
]


def variant(form: str, fused: bool) -> type[Port]:
    return type("Variant", (Port,), {"form": form, "fused": fused})


@pytest.mark.parametrize(("form", "fused", "dtype"), FORMS)
def test_correct_programs_pass_every_case(form: str, fused: bool, dtype: str) -> None:
    kind = variant(form, fused)
    departed = {}
    for case in cases():
        if dtype in case.dtypes:
            verdict = judge(case, observe(case, dtype, kind(), kind), dtype)
            if not verdict.passed:
                departed[case.id] = verdict
    assert departed == {}


def test_tolerances_are_neither_tight_nor_wide() -> None:
    largest = {"float32": 0.0, "float64": 0.0}
    for form, fused, dtype in FORMS:
        kind = variant(form, fused)
        for case in cases("wrapper") + cases("inner:adam"):
            if dtype in case.dtypes:
                seen = observe(case, dtype, kind(), kind)
                largest[dtype] = max(largest[dtype], judge(case, seen, dtype).largest)
    assert all(0.1 < each < 0.7 for each in largest.values()), largest


def test_a_program_without_gradients_follows_its_variant() -> None:
    # Without a velocity, or while it is zero, this is the same as a gradient of zeros.
    telling = [
        c for c in cases("state") if "no-gradient" in c.flags and "first" not in c.id
    ]
    assert len(telling) >= 4
    for case in telling:
        verdict = judge(case, observe(case, "float64", Port()), "float64")
        assert (verdict.passed, verdict.outcome) == (True, "no-gradient-skips")


def test_flushing_subnormal_numbers_passes_at_gpu_and_not_at_strict() -> None:
    class Flushing(Port):
        def after_update(self) -> None:
            super().after_update()
            for arrays in (self.p, *self.arrays.values(), *(x.phi for x in self.levels)):
                for array in arrays.values():
                    array[np.abs(array) < np.finfo(np.float32).smallest_normal] = 0

    subnormal = [case for case in cases() if "subnormal" in case.flags]
    assert len(subnormal) >= 3

    def passes(case: Case, level: str) -> bool:
        return judge(case, observe(case, "float32", Flushing()), "float32", level).passed

    assert all(passes(case, "gpu") for case in subnormal)
    assert not any(passes(case, "strict") for case in subnormal)


def test_what_is_shown_only_later_is_compared_with_the_steps_at_which_it_is() -> None:
    class Late(Port):
        def start(self, setup: Setup) -> None:
            super().start(setup)
            self.steps_done = 0

        def step(self, gradients: Any) -> None:
            super().step(gradients)
            self.steps_done += 1

        def slow(self) -> Any:
            return super().slow() if self.steps_done > 2 else []

        def slots(self) -> Any:
            return super().slots() if self.steps_done > 1 else {}

    class LateAndWrong(Late):
        def slots(self) -> Any:
            shown = super().slots()
            return {n: {k: a + 1 for k, a in s.items()} for n, s in shown.items()}

    (case,) = [c for c in cases("state") if c.id == "state-adam-maintain-k2-alpha0.5"]
    assert judge(case, observe(case, "float64", Late()), "float64").passed
    verdict = judge(case, observe(case, "float64", LateAndWrong()), "float64")
    assert [(each.where, each.step) for each in verdict.mismatches] == [
        ("first_moment", 2),
        ("second_moment", 2),
    ]
