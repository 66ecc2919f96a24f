"""The benchmarks run, on small parameters; what they measure is not judged here."""

from typing import Any

import pytest

import lookahead_ref as la
from suite import memory, start, step


@pytest.mark.parametrize("k", [None, 5])
@pytest.mark.parametrize("optimizer", step.OPTIMIZERS)
def test_a_step_can_be_timed(optimizer: str, k: int | None) -> None:
    benchmark = step.Step()
    benchmark.setup(optimizer, k, "numpy", "tiny")
    benchmark.time_step(optimizer, k, "numpy", "tiny")


@pytest.mark.parametrize(("optimizer", "bytes_moved"), [("sgd", 12), ("adam", 28)])
def test_the_overhead_is_divided_by_both_models(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, bytes_moved: int
) -> None:
    monkeypatch.setattr(step.Overhead, "parameters", "tiny")
    benchmark = step.Overhead()
    benchmark.setup(optimizer, "numpy", 5)
    assert benchmark.track_of_the_inner_step(optimizer, "numpy", 5) > 0
    monkeypatch.setattr(benchmark, "_ratio", lambda k: (k + 1) / k)
    assert benchmark.track_of_the_steps_counted(optimizer, "numpy", 5) == 1
    assert benchmark.track_of_the_bytes_counted(optimizer, "numpy", 5) == pytest.approx(
        1.2 / (1 + 8 / (5 * bytes_moved))
    )


@pytest.mark.parametrize(
    ("inner_state", "copies"), [("plain", 2), ("maintain", 3), ("interpolate", 4)]
)
def test_memory_is_params_slots_phi_and_the_anchor(inner_state: str, copies: int) -> None:
    peak = memory.Peak().track_bytes_a_parameter("heavy-ball", inner_state, "numpy")
    assert 4 * copies <= peak <= 4 * copies + 1  # 1 MB besides


def test_what_is_timed_from_the_start_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    stepper: Any = la.Stepper
    monkeypatch.setattr(
        la, "Stepper", lambda *args, backend: stepper(*args, backend="numpy")
    )
    for statement in (start.timeraw_import(), start.timeraw_first_step_numba()):
        exec(statement, {})


def test_the_command_line_answers() -> None:
    start.CommandLine().time_help()
