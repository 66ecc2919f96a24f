"""Correct programs pass, however they arrange their arithmetic."""

import numpy as np
import pytest
from conformance.port import Port

from lookahead_ref.conformance import Case, cases, judge, observe

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
