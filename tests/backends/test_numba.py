"""Numba's loops: their cache, threads and forks."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.backends.numba import NumbaBackend
from lookahead_ref.backends.numba import backend as numba_backend
from lookahead_ref.stepping.backend import Instruction, Program
from support import assert_same_bits, in_threads, run

DOUBLE = Program(1, 1, (Instruction("multiply", (1, 0)),), ((0, 2),))
SQUARE = Program(1, 1, (Instruction("multiply", (0, 0)),), ((0, 2),))

# Counts what Numba compiles: a loop that is taken from the cache is not.
PROCESS = """
import sys
from pathlib import Path
import numpy as np
from numba.core import event
from lookahead_ref.stepping.backend import Instruction, Program
from lookahead_ref.backends.numba import NumbaBackend

program = Program(1, 1, (Instruction(sys.argv[2], (1, 0)),), ((0, 2),))
with event.install_recorder("numba:compile") as compiled:
    kernel = NumbaBackend(cache=Path(sys.argv[1])).compile(program, "float64")
x = np.array([1.5, 2.5])
kernel([x], [2.0])
print(*x, len(compiled.buffer))
"""


def in_a_process(cache: Path, operation: str) -> tuple[list[float], bool]:
    """What a loop gives in a process of its own, and whether it was compiled there."""
    shown = subprocess.run(
        [sys.executable, "-c", PROCESS, str(cache), operation],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    *values, compiled = [float(word) for word in shown.split()]
    return values, compiled > 0


def test_a_second_process_compiles_nothing_and_an_edited_rule_is_compiled(
    tmp_path: Path,
) -> None:
    assert in_a_process(tmp_path, "multiply") == ([3.0, 5.0], True)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb*")}
    assert files
    assert in_a_process(tmp_path, "multiply") == ([3.0, 5.0], False)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb*")} == files
    assert in_a_process(tmp_path, "add") == ([3.5, 4.5], True)


@pytest.mark.parametrize(
    "damage", [lambda text: text.replace(b"s0 * x0", b"s0 - x0"), lambda text: b"\xff"]
)
def test_a_file_that_holds_something_else_is_written_anew(
    damage: Any, tmp_path: Path
) -> None:
    NumbaBackend(cache=tmp_path).compile(DOUBLE, "float64")
    (path,) = tmp_path.glob("*.py")
    path.write_bytes(damage(path.read_bytes()))
    x = np.array([1.5])
    NumbaBackend(cache=tmp_path).compile(DOUBLE, "float64")([x], [2.0])
    assert x.tolist() == [3.0]


def test_machine_code_that_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    for suffix in ("nbi", "nbc"):
        assert in_a_process(tmp_path, "multiply") == ([3.0, 5.0], True)
        for path in tmp_path.rglob(f"*.{suffix}"):
            path.write_bytes(b"")
        assert in_a_process(tmp_path, "multiply") == ([3.0, 5.0], True)
        assert not list(tmp_path.rglob("*.nb?"))


def test_another_program_or_dtype_is_another_file(tmp_path: Path) -> None:
    backend = NumbaBackend(cache=tmp_path)
    for program, dtype in ((DOUBLE, "float64"), (DOUBLE, "float32"), (SQUARE, "float64")):
        backend.compile(program, dtype)
    assert len(list(tmp_path.glob("*.py"))) == 3


def test_a_cache_that_cannot_be_written_to_is_done_without(tmp_path: Path) -> None:
    # A file stands where the folder should be: that stops even a process that may do
    # anything.
    blocked = tmp_path / "file"
    blocked.write_text("")
    x = np.array([1.5])
    NumbaBackend(cache=blocked / "cache").compile(DOUBLE, "float64")([x], [2.0])
    assert x.tolist() == [3.0]
    assert blocked.read_text() == ""


def test_the_cache_is_in_the_user_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        numba_backend.platformdirs, "user_cache_path", lambda name: tmp_path / name
    )
    NumbaBackend().compile(DOUBLE, "float64")
    assert list((tmp_path / "lookahead-ref").glob("*.py"))


def large_case() -> tuple[Any, Any, list[Any]]:
    """Large enough for three threads."""
    rng = np.random.default_rng(0)
    params = {"x": rng.standard_normal(400_001)}
    grads = [{"x": rng.standard_normal(400_001)} for _ in range(4)]
    return la.Lookahead(la.HeavyBall(0.1), k=2, alpha=0.3), params, grads


def test_several_threads_may_step_at_once() -> None:
    optimizer, params, grads = large_case()
    expected, _ = run(optimizer, params, grads)
    backend = NumbaBackend(threads=3)
    steppers = [la.Stepper(optimizer, params, backend=backend) for _ in range(4)]
    start = threading.Barrier(4)

    def go(stepper: la.Stepper) -> None:
        start.wait()
        for grad in grads:
            stepper.step(grad)

    in_threads(go, steppers)
    for stepper in steppers:
        assert_same_bits(stepper.params, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# Python 3.12 warns of a fork beside threads, which is what is tested here.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_goes_on() -> None:
    optimizer, params, grads = large_case()
    expected, _ = run(optimizer, params, grads)
    stepper = la.Stepper(optimizer, params, backend=NumbaBackend(threads=3))
    for grad in grads[:2]:
        stepper.step(grad)
    assert any(each.name.startswith("lookahead-ref") for each in threading.enumerate())
    child = os.fork()
    if child == 0:
        # A child of the test's process must not return into it, whatever happens.
        status = 1
        try:
            for grad in grads[2:]:
                stepper.step(grad)
            assert_same_bits(stepper.params, expected)
            status = 0
        finally:
            os._exit(status)
    deadline = threading.Timer(60.0, os.kill, (child, 9))
    deadline.start()
    _, status = os.waitpid(child, 0)
    deadline.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    for grad in grads[2:]:
        stepper.step(grad)
    assert_same_bits(stepper.params, expected)


def test_the_number_of_threads_is_that_of_the_cores_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert NumbaBackend()._threads == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert NumbaBackend()._threads == 7


def machine_code(optimizer: la.Optimizer, folder: Path) -> tuple[str, str]:
    la.Stepper(
        optimizer, {"x": np.ones(3, np.float32)}, backend=NumbaBackend(cache=folder)
    ).step({"x": np.ones(3, np.float32)})
    (place,) = [path for path in folder.glob("*.py") if "def loop(" in path.read_text()]
    loop = sys.modules[place.stem].loop
    (before,), (after,) = loop.inspect_llvm().values(), loop.inspect_asm().values()
    return str(before), str(after)


def test_loops_that_wait_for_memory_use_registers_of_32_bytes(tmp_path: Path) -> None:
    asked = '"prefer-vector-width"="256"'
    wide = re.compile(r"\tv(add|sub|mul|div)ps\t.*%zmm")
    before, roots = machine_code(la.Adam(1e-3), tmp_path / "adam")
    assert asked not in before
    others = [
        machine_code(optimizer, tmp_path / str(place))
        for place, optimizer in enumerate((la.SGD(1e-3), la.Lookahead(la.HeavyBall(1e-3))))
    ]
    assert all(asked in before for before, _ in others)
    if wide.search(roots):  # not every processor has them
        for _, code in others:
            assert not wide.search(code)
            assert re.search(r"\tvmulps\t.*%ymm", code)
