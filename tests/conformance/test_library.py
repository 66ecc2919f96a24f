"""The library passes its own golden suite: the pure path and each backend."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conformance.running import results

from lookahead_ref.conformance import Adapter, Case, adapters, cases
from lookahead_ref.conformance.adapters import Pure, Stepped

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
