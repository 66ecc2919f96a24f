"""Programs as Numba's loops: their cache, their pieces of work, and the threads."""

import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref import trees
from lookahead_ref.backends.numba import NumbaBackend, compiler
from lookahead_ref.backends.numba import backend as numba_backend
from lookahead_ref.stepping.backend import Instruction, Program
from support import assert_same_bits, done_in_a_fork, in_threads, normal, run, started

DOUBLE = Program(1, 1, (Instruction("multiply", (1, 0)),), ((0, 2),))
SQUARE = Program(1, 1, (Instruction("multiply", (0, 0)),), ((0, 2),))

PIECE = numba_backend._PIECE
LARGEST = numba_backend._LARGEST

# Counts what Numba compiles: a loop that is taken from the cache is not.
PROCESS = """
import sys
from pathlib import Path
import numpy as np
from numba.core import event
from lookahead_ref.stepping.backend import Instruction, Program
from lookahead_ref.backends.numba import NumbaBackend

print("ready", flush=True)
sys.stdin.readline()
for argument in sys.argv[1:]:
    operation, folder = argument.split(":", 1)
    program = Program(1, 1, (Instruction(operation, (1, 0)),), ((0, 2),))
    with event.install_recorder("numba:compile") as compiled:
        kernel = NumbaBackend(cache=Path(folder)).compile(program, "float64")
    x = np.array([1.5, 2.5])
    kernel([x], [2.0])
    print(*x, bool(compiled.buffer))
"""


def at_once(*asked: list[str]) -> list[list[str]]:
    """What processes show that begin to compile together."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        begun: list[Any] = [
            stack.enter_context(
                started([sys.executable, "-c", PROCESS, *each], **pipes, text=True)
            )
            for each in asked
        ]
        assert {process.stdout.readline() for process in begun} == {"ready\n"}
        for process in begun:
            process.stdin.write("go\n")
            process.stdin.flush()
        return [process.communicate(timeout=500)[0].splitlines() for process in begun]


def test_if_numba_cannot_compile_the_backend_is_not_available(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)  # as by the environment
    with pytest.raises(la.BackendUnavailableError, match="NUMBA_DISABLE_JIT is set"):
        la.Stepper(la.SGD(0.1), {"x": np.ones(1)}, backend="numba")


# The cache.


@pytest.mark.slow
def test_another_process_compiles_only_what_is_not_kept_or_damaged(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    NumbaBackend(cache=whole).compile(DOUBLE, "float64")([np.ones(1)], [2.0])
    files = {path: path.stat().st_mtime_ns for path in whole.rglob("*.nb*")}
    assert files
    damaged = [tmp_path / suffix for suffix in ("nbi", "nbc")]
    for folder in damaged:
        shutil.copytree(whole, folder)
        for path in folder.rglob(f"*.{folder.name}"):
            path.write_bytes(b"")
    asked = [f"multiply:{whole}", *(f"multiply:{each}" for each in damaged), f"add:{whole}"]
    (shown,) = at_once(asked)
    assert shown == [
        "3.0 5.0 False",
        "3.0 5.0 True",
        "3.0 5.0 True",
        "3.5 4.5 True",  # an edited rule
    ]
    assert files.items() <= {p: p.stat().st_mtime_ns for p in whole.rglob("*.nb*")}.items()
    assert not [path for each in damaged for path in each.rglob("*.nb?")]


@pytest.mark.slow
def test_several_processes_may_compile_the_same_at_once(tmp_path: Path) -> None:
    found = at_once(*[[f"multiply:{tmp_path}"]] * 2)
    assert [lines[0].split()[:2] for lines in found] == [["3.0", "5.0"]] * 2
    assert len(list(tmp_path.glob("*.py"))) == 2  # the loop, and what collects addresses


@pytest.mark.parametrize(
    "damage", [lambda text: text.replace(b"s0 * x0", b"s0 - x0"), lambda text: b"\xff"]
)
def test_a_file_with_other_content_is_replaced(damage: Any, tmp_path: Path) -> None:
    NumbaBackend(cache=tmp_path).compile(DOUBLE, "float64")
    (path,) = tmp_path.glob("*.py")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    compiler.load.cache_clear()  # as in another process
    x = np.array([1.5])
    NumbaBackend(cache=tmp_path).compile(DOUBLE, "float64")([x], [2.0])
    assert x.tolist() == [3.0]
    assert path.read_bytes() == whole


@pytest.fixture
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written, and nothing is made of them."""
    monkeypatch.setattr(compiler, "_import", lambda *_: SimpleNamespace(loop=None))


@pytest.mark.usefixtures("_uncompiled")
def test_another_program_or_dtype_is_another_file(tmp_path: Path) -> None:
    backend = NumbaBackend(cache=tmp_path)
    for program, dtype in ((DOUBLE, "float64"), (DOUBLE, "float32"), (SQUARE, "float64")):
        backend.compile(program, dtype)
    assert len(list(tmp_path.glob("*.py"))) == 3


def test_a_cache_that_cannot_be_written_to_is_done_without(tmp_path: Path) -> None:
    # A file in place of the folder stops even a process that may do anything.
    blocked = tmp_path / "file"
    blocked.write_text("")
    x = np.array([1.5])
    NumbaBackend(cache=blocked / "cache").compile(DOUBLE, "float64")([x], [2.0])
    assert x.tolist() == [3.0]
    assert blocked.read_text() == ""


@pytest.mark.usefixtures("_uncompiled")
def test_the_cache_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        numba_backend.platformdirs, "user_cache_path", lambda name: tmp_path / name
    )
    NumbaBackend().compile(DOUBLE, "float64")
    assert list((tmp_path / "lookahead-ref").glob("*.py"))


def machine_code(optimizer: la.Optimizer, folder: Path) -> tuple[str, str]:
    x = {"x": np.ones(3, np.float32)}
    la.Stepper(optimizer, x, backend=NumbaBackend(cache=folder)).step(x)
    (place,) = [path for path in folder.glob("*.py") if "def loop(" in path.read_text()]
    loop = sys.modules[place.stem].loop
    (before,), (after,) = loop.inspect_llvm().values(), loop.inspect_asm().values()
    return str(before), str(after)


def test_loops_that_wait_for_memory_use_registers_of_32_bytes(tmp_path: Path) -> None:
    asked = '"prefer-vector-width"="256"'
    roots, roots_code = machine_code(la.Adam(1e-3), tmp_path / "roots")
    sums, sums_code = machine_code(la.Lookahead(la.HeavyBall(1e-3)), tmp_path / "sums")
    assert asked not in roots
    assert asked in sums
    wide = re.compile(r"\tv(add|sub|mul|div)ps\t.*%zmm")
    if wide.search(roots_code):  # not every processor has them
        assert not wide.search(sums_code)
        assert re.search(r"\tvmulps\t.*%ymm", sums_code)


# Pieces of work, and who does them.


@given(
    st.lists(st.one_of(st.integers(0, 20), st.integers(0, 5 * PIECE)), max_size=30),
    st.integers(1, 4),
)
@example([2 * LARGEST, 0, 2 * LARGEST], 1)
def test_pieces_cover_every_element_once_and_shrink_to_where_threads_meet(
    sizes: list[int], threads: int
) -> None:
    groups, segments = numba_backend._pieces(sizes, threads)
    assert groups[0] == 0
    assert groups[-1] == len(segments)
    assert (np.diff(groups) >= 0).all()
    reached = [0] * len(sizes)
    for leaf, start, stop in segments.tolist():
        assert start == reached[leaf] < stop
        reached[leaf] = stop
    assert reached == sizes
    held = [
        sum(stop - start for _, start, stop in segments[first:last].tolist())
        for first, last in pairwise(groups)
    ]
    # One thread works from the front and the others from the back, each on its share.
    front = sum(sizes) // threads
    reaches = [0, *accumulate(held)]
    assert front in reaches
    meet = reaches.index(front)
    assert held[:meet] == sorted(held[:meet], reverse=True)
    assert held[meet:] == sorted(held[meet:])
    # None is so large that a thread waits long for the last one of another's.
    share = -(-sum(sizes) // threads)
    assert all(size <= min(max(PIECE, share // 3), LARGEST) for size in held)


@pytest.mark.parametrize(
    ("threads", "sizes", "helped"),
    [
        pytest.param(4, [10] * 1000, 0, id="tiny ones, by the caller however many"),
        pytest.param(4, [PIECE], 0, id="a piece"),
        pytest.param(3, [PIECE // 8] * 200, 2, id="many, once for each other thread"),
        pytest.param(1, [20 * PIECE], 0, id="one thread"),
    ],
)
def test_arrays_are_handed_to_as_many_threads_as_they_are_worth(
    threads: int, sizes: list[int], helped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = NumbaBackend(threads=threads)
    start = mock.Mock(wraps=made._threads.helpers.start)
    monkeypatch.setattr(made._threads.helpers, "start", start)
    arrays = [np.full(size, 1.5) for size in sizes]
    made.bind(DOUBLE, "float64", [[array] for array in arrays])([], [2.0])
    assert all((array == 3.0).all() for array in arrays)
    assert sum(len(call.args[0]) for call in start.mock_calls) == helped


def doubling(threads: int) -> tuple[Any, Any, Any]:
    """A backend, an array of several pieces, and what doubles it."""
    made, x = NumbaBackend(threads=threads), np.ones(20 * PIECE)
    step = made.bind(DOUBLE, "float64", [[x]])
    return made, x, lambda: step([], [2.0])


def test_without_other_threads_the_caller_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = RuntimeError("can't create new thread at interpreter shutdown")
    monkeypatch.setattr(threading, "Thread", mock.Mock(side_effect=refused))
    _, x, double = doubling(3)
    double()
    assert (x == 2.0).all()


def test_a_late_thread_finds_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x, double = doubling(2)
    late: list[Any] = []
    monkeypatch.setattr(made._threads.helpers, "start", late.extend)
    double()
    double()
    for function, arguments in late:
        function(*arguments)
    assert len(late) == 2
    assert (x == 4.0).all()


def test_an_interrupted_step_ends_once_it_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    # Helpers know arrays by address: nothing may go on when the caller has left.
    made, x, double = doubling(2)
    start = made._threads.helpers.start

    def interrupted(calls: Any) -> None:
        start(calls)
        raise KeyboardInterrupt

    monkeypatch.setattr(made._threads.helpers, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        double()
    assert (x.copy() == 2.0).all()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 17])
def test_gradients_of_any_number_reach_their_arrays(count: int) -> None:
    # Addresses are collected by the eight.
    params = {str(place): np.full(place + 1, float(place)) for place in range(count)}
    stepper = la.Stepper(la.SGD(1.0), params, backend="numba")
    stepper.step({str(place): np.full(place + 1, 10.0 * place) for place in range(count)})
    for place in range(count):
        assert stepper.params[str(place)].tolist() == [-9.0 * place] * (place + 1)


def test_steppers_of_several_threads_share_a_pool_of_any_size_and_do_all_once() -> None:
    rng = np.random.default_rng(0)
    params = {str(place): rng.standard_normal(PIECE + place) for place in range(8)}
    grads = [trees.map(lambda x: rng.standard_normal(x.size), params) for _ in range(5)]
    optimizer = la.Lookahead(la.Adam(0.1), k=2, alpha=0.3, inner_state="interpolate")
    expected, _ = run(optimizer, params, grads)

    def go(stepper: la.Stepper) -> None:
        for each in grads:
            stepper.step(each)

    for threads in (2, 3, 8, 64):
        made = NumbaBackend(threads=threads)
        steppers = [la.Stepper(optimizer, params, backend=made) for _ in range(3)]
        in_threads(go, steppers)
        for stepper in steppers:
            assert_same_bits(stepper.params, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# Python 3.12 warns of a fork beside threads, which is what is tested here.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_and_its_parent_both_continue() -> None:
    start, *grads = normal(6, 400_001)
    optimizer = la.Lookahead(la.HeavyBall(0.1), k=2, alpha=0.3)
    expected, _ = run(optimizer, start, grads)
    stepper = la.Stepper(optimizer, start, backend=NumbaBackend(threads=3))
    for grad in grads[:2]:
        stepper.step(grad)
    assert any(each.name.startswith("lookahead-ref") for each in threading.enumerate())

    def go_on() -> None:
        for grad in grads[2:]:
            stepper.step(grad)
        assert_same_bits(stepper.params, expected)

    assert done_in_a_fork(go_on, meanwhile=go_on)
