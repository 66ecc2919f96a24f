"""The library passes its own golden suite: the pure path and each backend."""

from collections.abc import Callable

import pytest

from lookahead_ref.conformance import Adapter, Case, cases, judge, observe
from lookahead_ref.conformance.adapters.library import Pure, Stepped

COMPILED = [case for case in cases() if case.id.startswith("smoke-")]


def check(make: Callable[[], Adapter], case: Case) -> None:
    for dtype in case.dtypes:
        verdict = judge(case, observe(case, dtype, make(), make), dtype)
        assert verdict.passed, verdict


@pytest.mark.parametrize("case", cases())
def test_the_pure_path_passes(case: Case) -> None:
    check(Pure, case)


@pytest.mark.parametrize("case", cases())
def test_the_numpy_stepper_passes(case: Case) -> None:
    check(lambda: Stepped("numpy"), case)


@pytest.mark.parametrize("case", COMPILED)
def test_the_numba_stepper_passes_the_smoke_cases(case: Case) -> None:
    check(lambda: Stepped("numba"), case)


@pytest.mark.slow  # minutes while Numba's cache is cold
@pytest.mark.parametrize("case", cases())
def test_the_numba_stepper_passes(case: Case) -> None:
    check(lambda: Stepped("numba"), case)


@pytest.mark.parametrize("case", cases("evaluation")[:1])
def test_a_test_is_named_after_its_case(case: Case, request: pytest.FixtureRequest) -> None:
    assert request.node.name.endswith(f"[{case.id}]")
