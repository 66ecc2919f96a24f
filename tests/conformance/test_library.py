"""The library passes its own golden suite: the pure path and each backend."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.running import results
from hypothesis import given, settings
from hypothesis import strategies as st

from lookahead_ref.conformance import Adapter, Case, adapters, cases, observe, oracle
from lookahead_ref.conformance.adapters import Pure, Stepped
from lookahead_ref.conformance.case_building import build, inner, lookahead, with_outer

PROFILES = sorted({case.profile for case in cases()})


def check(make: Callable[[], Adapter], *some: Case) -> None:
    assert [each for each in results(make, some) if each.status != "passed"] == []


@pytest.mark.parametrize("make", [Pure, partial(Stepped, "numpy")], ids=["pure", "numpy"])
@pytest.mark.parametrize("profile", PROFILES)
def test_the_pure_path_and_the_numpy_stepper_pass(make: Any, profile: str) -> None:
    check(make, *cases(profile))


def test_the_numba_stepper_passes_the_smoke_cases() -> None:
    smoke = [case for case in cases() if case.id.startswith("smoke-")]
    check(lambda: Stepped("numba"), *smoke)


@pytest.mark.slow  # minutes while Numba's cache is cold
@pytest.mark.parametrize("profile", PROFILES)
def test_the_numba_stepper_passes(profile: str) -> None:
    check(lambda: Stepped("numba"), *cases(profile))


def tables(*values: float) -> st.SearchStrategy[list[float]]:
    """A constant, or a schedule whose last value stays."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=4)


RULES: dict[str, dict[str, float]] = {
    "sgd": {},
    "heavy-ball": {"momentum": 0.6},
    "nesterov": {"momentum": 0.6},
    "adagrad": {"epsilon": 0.1},
    "adam": {"beta1": 0.6, "beta2": 0.8, "epsilon": 0.1},
}
inners = st.builds(
    lambda rule, rate, decay: inner(rule, rate, **RULES[rule], **decay),
    st.sampled_from(list(RULES)),
    tables(0.1, 0.4, 1.3),
    st.sampled_from([{}, {"l2": 0.2}, {"decoupled": 0.2}]),
)
periods, kinds = st.integers(1, 4), st.sampled_from(["maintain", "reset", "interpolate"])
levels = st.builds(lookahead, periods, tables(0.2, 0.5, 0.8, 1.0), kinds)
levels |= st.builds(with_outer, periods, inners, kinds)


@settings(max_examples=60)
@given(st.lists(levels, min_size=1, max_size=3), inners, st.integers(1, 3))
def test_the_library_and_the_oracle_agree_on_any_lookahead(
    around: Any, within: Any, workers: int
) -> None:
    shapes = {f"{m}/{name}": (2,) for m in range(1, workers + 1) for name in "ab"}
    more = {"workers": workers} if workers > 1 else {}
    case = Case(build("any", "LA-1", around, within, 13, shapes=shapes, **more))
    seen = observe(case, "float64", Pure()).steps

    def same(found: Any, exact: Any) -> None:
        np.testing.assert_allclose(found, np.concatenate(exact), rtol=1e-9, atol=1e-9)

    for t, step in enumerate(oracle.run(case.data, oracle.Double())):
        same(seen.fast[t], step.fast)
        # Of workers, what they share.
        for found, slow in zip(seen.slow[t], step.slow, strict=workers == 1):
            same(found, slow)
        for name, slot in step.slots.items():
            same(seen.slots[t][name], slot)


@pytest.mark.parametrize("case", cases("evaluation")[:1])
def test_a_test_is_named_after_its_case(case: Case, request: pytest.FixtureRequest) -> None:
    assert request.node.name.endswith(f"[{case.id}]")


@pytest.mark.slow
def test_the_cupy_backend_s_kernels_pass_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cupy")
    import host_cuda
    from lookahead_ref.backends.cupy import CupyBackend, compiler

    recorder = host_cuda.Recorder()
    monkeypatch.setattr(adapters, "loaded", lambda _: recorder)
    results(lambda: Stepped("numpy"))
    cuda = host_cuda.HostCuda(tmp_path)
    cuda.prepare(compiler.write(*each).text for each in recorder.programs)
    backend = CupyBackend(cuda=cuda)
    monkeypatch.setattr(adapters, "loaded", lambda _: backend)
    check(lambda: Stepped("cupy"), *cases())
    assert cuda.launches
