"""The side-by-side comparison: what it counts, how it takes turns, what it writes."""

import json
import math
import re
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import TINY
from typer.testing import CliRunner
from worker_tasks import note_process

import lookahead_ref as la
from lookahead_ref.bench import (
    apart,
    caches,
    cases,
    contestants,
    cores,
    peers,
    place,
    results,
    suite,
)
from lookahead_ref.bench.page import lines, page
from lookahead_ref.bench.picture import roofline
from lookahead_ref.bench.turns import Contestant, ratio, take_turns
from lookahead_ref.cli.app import app
from lookahead_ref.experiments.steps import PYTORCH, Race
from lookahead_ref.experiments.works import WORKS


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


def test_how_far_apart_cores_are_is_measured_in_each_round_and_shown_where_a_bar_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latencies = iter([3e-8, None, 2e-7, 2e-7])
    found = results.Results()
    turns = results.Turns(found, "step", "1e7", "sgd", core_latency=lambda: next(latencies))
    steps = {
        name: Contestant(name, partial(time.sleep, seconds), "plain", 8e6)
        for name, seconds in (("slow", 0.002), ("fast", 0.0))
    }
    turns.run(steps, repeats=4, seconds=1e-4)
    turns.bar("slow / fast", "slow", "fast", 1.0)
    turns.bar("fast / slow", "fast", "slow", 1.0)
    assert [each.core_latency for each in (*found.timings, *found.bars)] == [2e-7] * 4
    text = page([made(found)])
    told = text[: text.index("## The traffic model")]
    assert (
        len(re.findall(r"slow / fast \| \*\*.*\), cores 200 ns apart \| ≤ 1 \|", told)) == 1
    )
    assert "fast / slow" not in told
    assert len(re.findall(r"\| 200 ns \|\n", text)) == 2


def test_cost_is_measured_in_the_cache_and_beyond_it() -> None:
    where = place.find("numba")
    assert where.core_latency is cores.latency
    assert where.cache == max(caches.caches().values(), default=0)
    found = suite.run(TINY, ("cost",), lambda _: None, where).bars
    assert {bar.parameters for bar in found} == {TINY.large, TINY.beyond}


def test_the_exponent_is_fitted_where_the_cache_is_of_little_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 16 bytes are held for each parameter of Adam: up to 2000 of them the cache helps.
    def turns(contestants: Any, **_: Any) -> dict[str, list[float]]:
        found = {name: float(name) for name in contestants}
        return {name: [size / (1 + (size <= 2000))] * 3 for name, size in found.items()}

    monkeypatch.setattr(suite, "take_turns", turns)
    plan = replace(TINY, sizes=(1e3, 2e3, 4e3, 8e3))
    where = replace(place.find("numba"), cache=8_000)
    sgd, adam = suite.run(plan, ("growth",), lambda _: None, where).bars
    assert adam.value == pytest.approx(0.0)
    assert adam.measure == "exponent's distance from 1, from 4e+03 on"
    assert not sgd.met  # 8 bytes: only one size is so much larger, and so all are fitted


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
    # Without peers, there is nothing to compare these with.
    assert found.bars or section in ("step", "overhead", "models")


def test_peak_memory_is_one_copy_of_everything() -> None:
    plan = suite.Plan(large="300000")
    for bar in suite.run(plan, ("memory",), lambda _: None, place.find("numba")).bars:
        # An array more would be 1.2 MB.
        assert 0.0 < bar.value < 0.3, bar


def test_an_unknown_section_is_told_those_that_exist() -> None:
    done = CliRunner().invoke(app, ["bench", "--only", "speed"])
    assert done.exit_code == 2
    assert "only must be one of step, cost, bandwidth" in done.stderr


def test_each_section_has_a_process_of_its_own(tmp_path: Path) -> None:
    told = partial(note_process, tmp_path / "told")
    found = apart.run(TINY, ("memory", "bandwidth"), "numba", told)
    assert {bar.section for bar in found.bars} == {"memory", "bandwidth"}
    assert {timing.section for timing in found.timings} == {"bandwidth"}
    processes: dict[str, set[str]] = {}
    for line in (tmp_path / "told").read_text().splitlines():
        process, section, *_ = line.replace(":", "").split()
        processes.setdefault(section, set()).add(process)
    assert list(processes) == ["memory", "bandwidth"]
    first, second = processes.values()
    assert len(first) == len(second) == len(first | second) - 1 == 1


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


def test_models_are_left_out_without_pytorch_and_that_is_said() -> None:
    told: list[str] = []
    found = suite.run(TINY, ("models",), told.append, place.find("numba"))
    assert told == ["models: left out, PyTorch is not installed"]
    assert "Left out: PyTorch is not installed." in page([made(found)])


def test_models_are_compared_with_the_faster_of_pytorch_s_updates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suite, "find_spec", lambda name: name)
    asked: list[Any] = []

    def race(work: Any, backends: Any, *, rounds: int) -> Race:
        asked.append((work, rounds))
        seconds = {"numpy": [3.0, 3.0], "numba": [1.0, 1.0]}
        theirs = {name: [2.0 + place] * 2 for place, name in enumerate(PYTORCH)}
        return Race({name: seconds[name] for name in backends} | theirs)

    monkeypatch.setattr(suite, "race_work", race)
    plan = suite.Plan(repeats=2, works=("mlp", "lstm", "resnet18"))
    found = suite.run(plan, ("models",), lambda _: None, place.find("numba"))
    assert asked == [(WORKS[name], 2) for name in plan.works]
    assert [(each.parameters, each.value, each.bar) for each in found.bars] == [
        ("mlp", 1.5, 1.05),
        ("mlp", 0.5, 1.05),
        ("lstm", 1.5, 1.4),
        ("lstm", 0.5, 1.0),
        ("resnet18", 1.5, 2.0),
        ("resnet18", 0.5, 2.0),
    ]
    assert {each.method: each.seconds for each in found.timings}["PyTorch, foreach"] == 3.0


def test_the_fastest_peer_is_one_row_whoever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = []

    def turns(contestants: Any, repeats: int, **_: Any) -> dict[str, list[float]]:
        repeated.append(repeats)
        return {name: [seconds.get(name, 1.0)] * 3 for name in contestants}

    monkeypatch.setattr(results, "take_turns", turns)
    for makers in ("_PLAIN", "_LOOKAHEAD"):
        monkeypatch.setattr(
            peers, makers, dict.fromkeys(("one", "other"), lambda *_: lambda: None)
        )
    runs = []
    for slow in ("one", "other"):
        seconds = {slow: 2.0}
        plan = replace(TINY, close=5)
        found = suite.run(plan, ("step",), lambda _: None, place.find("numba"))
        runs.append(made(found))
    assert repeated[:2] == [5, 2]  # plain steps are close together, wrapped ones are not
    text = page(runs)
    row = re.escape("| 1000 | adam | plain / the fastest plain peer | ")
    assert len(re.findall(f"^{row}", text, re.MULTILINE)) == 1
    assert "1000 adam: other, one" in text


def made(found: results.Results) -> Any:
    """A run in which this was measured, as it is written to a file."""
    machine = dict.fromkeys(["processor", "cores", "cache", "memory_gb", "system"], "?")
    return {"machine": {**machine, "versions": {"numpy": "2"}}, **asdict(found)}


def measured(value: float, low: float, high: float, least: bool = False) -> results.Bar:
    measure = "at least" if least else "at most"
    return results.Bar("cost", "1e7", "sgd", measure, value, low, high, 1.0, least)


def test_a_run_of_models_alone_has_a_picture_without_points() -> None:
    pytest.importorskip("matplotlib")
    row = results.Timing("models", "mlp", "sgd", "numba", "model", 1.0, 1.0, 1.0, 0.0)
    assert not roofline([vars(row)]).axes[0].collections


def test_the_page_shows_every_run_and_what_missed_its_bar() -> None:
    runs = [
        made(results.Results([], bars))
        for bars in (
            [measured(0.9, 0.8, 0.95), measured(1.25, 1.25, 1.25, least=True)],
            [measured(1.25, 1.2, 1.5), measured(1.0, 0.9, 1.1, least=True)],
        )
    ]
    assert [line.split()[0] for run in runs for line in lines(run["bars"])] == [
        *("met", "met"),
        *("NOT", "met"),
    ]
    text = page(runs)
    told = text[: text.index("## The traffic model")]
    assert "2 bars, each measured 2 times, one run after the other: **1 were met" in told
    row = "0.90 (0.80 to 0.95)%s**1.25** (1.20 to 1.50) | ≤ 1 | **met in 1 of 2** |"
    assert f"| What Lookahead adds, 1e7, sgd, at most | {row % '; '}" in told
    assert f"| 1e7 | sgd | at most | {row % ' | '}" in text
    assert "at least" not in told
    assert "| 1e7 | sgd | at least | 1.25 | 1.00 (0.90 to 1.10) | ≥ 1 | met |" in text


@pytest.mark.parametrize("least", [False, True])
def test_a_bar_that_is_missed_by_little_is_missed_and_shown_to_be(least: bool) -> None:
    value = 0.9996 if least else 1.0004
    text = page([made(results.Results([], [measured(value, 0.98, 1.02, least)]))])
    shown = "0.9996" if least else "1.0004"
    assert f"| **{shown}** (0.9800 to 1.0200) | " in text
    assert "| met in 0 of 1, within the spread |" in text


def test_times_come_after_all_bars_and_of_the_last_run_alone() -> None:
    def timed(seconds: float) -> Any:
        row = results.Timing("cost", "1e7", "sgd", "m", "plain", seconds, 1.0, 2.0, 8e9)
        return made(results.Results([row], [measured(0.5, 0.5, 0.5)]))

    text = page([timed(1.25), timed(1.5)])
    assert text.index("| at most |") < text.index("## Times of the last run")
    assert "| 1e7 | sgd | m | 1.5 s | 1 s to 2 s | 5.3 | |\n\n</details>" in text
    assert "1.25 s" not in text


KILLED = """
import time
from lookahead_ref.bench import apart, suite

def show(what):
    print("begun", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    apart.run(suite.QUICK, ["memory"], "numba", show)
"""


def test_a_run_that_is_killed_leaves_no_section_running(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        process.kill()
        # The section holds the pipe open as long as it lives.
        assert process.communicate(timeout=30)[0] == ""
