"""The side-by-side comparison: what it counts, how it takes turns, what it writes."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lookahead_ref as la
from lookahead_ref.bench import cases, contestants, peers, place, results, suite
from lookahead_ref.bench.page import lines, page
from lookahead_ref.bench.turns import Contestant, ratio, take_turns
from lookahead_ref.cli import app

TINY = suite.Plan("1000", "2000", ("tiny",), (1000.0, 2000.0), 2, 1e-4)


@pytest.fixture(autouse=True)
def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing them takes longer than all of these tests."""
    for name in ("torch", "jax", "optax"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("optimizer", cases.OPTIMIZERS)
@pytest.mark.parametrize(("k", "kind"), [(None, ""), (1, "maintain"), (1, "interpolate")])
def test_the_traffic_model_counts_what_the_program_reads_and_writes(
    optimizer: str, k: int | None, kind: Any
) -> None:
    made: Any = cases.OPTIMIZERS[optimizer]
    if k is not None:
        made = la.Lookahead(made, k=k, inner_state=kind)
    programs = []

    class Noting(type(la.backend.load("numpy"))):  # type: ignore[misc]
        def compile(self, program: Any, dtype: str) -> Any:
            programs.append(program)
            return super().compile(program, dtype)

    stepper = la.Stepper(made, {"x": np.ones(3, np.float32)}, backend=Noting())
    stepper.step({"x": np.ones(3, np.float32)})
    (program,) = programs
    read = {number for line in program.instructions for number in line.operands}
    moved = 4 * (len(read & set(range(program.buffers))) + len(program.writes))
    assert moved == cases.traffic(optimizer, k, interpolated=kind == "interpolate")


def test_the_limit_reads_and_writes_every_array_and_moves_as_much() -> None:
    limit = contestants.limit(
        la.backend.load("numba"), "adam", cases.arrays("1000", 1), synchronized=True
    )
    assert limit.bytes_moved == 1000 * cases.traffic("adam", 1) == 36_000
    limit.step()


def test_contestants_take_turns_and_only_whole_cycles_are_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: calls.append("pause"))

    def step(name: str, seconds: float) -> Any:
        def go() -> None:
            calls.append(name)
            clock[0] += seconds

        return go

    times = take_turns(
        {
            "a": Contestant("a", step("a", 0.5), "plain", 1.0),
            "b": Contestant("b", step("b", 0.25), "plain", 1.0, steps=3),
        },
        repeats=2,
        seconds=1.0,
    )
    assert times == {"a": [0.5, 0.5], "b": [0.25, 0.25]}
    turn = ["pause", *["a"] * 3, "pause", *["b"] * 6]
    assert calls[-2 * len(turn) :] == turn * 2


def test_ratios_are_taken_turn_by_turn() -> None:
    # The machine was ten times slower in the second turn, for both.
    assert ratio([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == (0.5, 0.5, 0.5)


def test_a_peer_that_does_not_run_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no kernel for this processor")

    monkeypatch.setattr(
        peers, "_PLAIN", {"broken": broken, "good": lambda *_: lambda: None}
    )
    grads = cases.arrays("tiny", 1)
    found = list(peers.peers("sgd", "tiny", grads))
    assert [each.method for each in found] == ["good"]


@pytest.mark.parametrize("section", [name for name in suite.SECTIONS if name != "first"])
def test_each_section_measures_on_any_machine(section: str) -> None:
    told: list[str] = []
    found = suite.run(TINY, (section,), told.append, place.find("numba"))
    assert told
    assert all(each.seconds > 0 for each in found.timings)
    assert all(math.isfinite(each.value) for each in found.bars)
    assert found.bars or section in (
        "step",
        "overhead",
    )  # without peers, nothing to compare with


def test_peak_memory_is_one_copy_of_everything() -> None:
    plan = suite.Plan(large="300000")
    for bar in suite.run(plan, ("memory",), lambda _: None, place.find("numba")).bars:
        # An array more would be 1.2 MB.
        assert 0.0 < bar.value < 0.3, bar


def test_an_unknown_section_is_told_those_that_exist() -> None:
    done = CliRunner().invoke(app, ["bench", "--only", "speed"])
    assert done.exit_code == 2
    assert "only must be one of step, cost, bandwidth" in done.stderr


def test_the_command_prints_each_bar_and_writes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "QUICK", TINY)
    folder = tmp_path / "out"
    arguments = ["bench", "--quick", "--only", "memory", "--only", "bandwidth"]
    done = CliRunner().invoke(app, [*arguments, "--output", str(folder)])
    assert done.exit_code == 0, done.stderr
    found = json.loads((folder / "results.json").read_text())
    assert len(done.stdout.splitlines()) == len(found["bars"]) + 1
    assert found["machine"]["cores"] >= 1
    written = (folder / "benchmarks.md").read_text()
    for optimizer in cases.OPTIMIZERS:
        assert f"| 1000 | {optimizer} | plain: MB besides" in written
    assert (folder / "roofline.svg").read_text().startswith("<?xml")
    shown = CliRunner().invoke(app, [*arguments, "--json"])
    assert json.loads(shown.stdout)["bars"]


def test_the_page_shows_every_run_and_what_missed_its_bar() -> None:
    def made(value: float) -> Any:
        bar = results.Bar("cost", "1e7", "sgd", "measure", value, value, value, 1.0)
        machine = {
            "processor": "p",
            "cores": 2,
            "cache": "c",
            "memory_gb": 1,
            "system": "s",
        }
        return {
            "machine": {**machine, "versions": {"numpy": "2"}},
            "timings": [],
            "bars": [vars(bar)],
        }

    runs = [made(0.9), made(1.25)]
    assert [line.split()[0] for run in runs for line in lines(run["bars"])] == [
        "met",
        "NOT",
    ]
    text = page(runs)
    assert "| 1e7 | sgd | measure | 0.90, 1.25 | ≤ 1 | **met in 1 of 2** |" in text
    assert "Of 2 comparisons with a bar, 1 met it." in text
