"""The golden suite on the CuPy backend: its kernels, run by the host."""

from pathlib import Path

import pytest

from lookahead_ref.conformance import adapters, cases, judge, observe

pytest.importorskip("cupy")

import host_cuda
from lookahead_ref.backends.cupy import CupyBackend, compiler


@pytest.mark.slow
def test_the_cupy_backend_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = host_cuda.Recorder()
    monkeypatch.setattr(adapters, "loaded", lambda _: recorder)
    every = [(case, dtype) for case in cases() for dtype in case.dtypes]
    for case, dtype in every:
        observe(case, dtype, adapters.Stepped("numpy"), lambda: adapters.Stepped("numpy"))
    cuda = host_cuda.HostCuda(tmp_path)
    cuda.prepare(compiler.write(*each).text for each in recorder.programs)
    backend = CupyBackend(cuda=cuda)
    monkeypatch.setattr(adapters, "loaded", lambda _: backend)
    for case, dtype in every:
        observed = observe(
            case, dtype, adapters.Stepped("cupy"), lambda: adapters.Stepped("cupy")
        )
        verdict = judge(case, observed, dtype)
        assert verdict.passed, (case.id, dtype, verdict)
    assert cuda.launches
