"""What a run writes while it goes: JSON lines, a bar or plain lines."""

import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lookahead_ref import training
from lookahead_ref.training import EpochEnded, RunEnded, RunStarted, StepTaken, reporter

RECORD = training.EpochRecord(1, 20, 0.5, float("nan"), 0.9, float("inf"), 0.8)


def started(epochs: int = 2, steps_per_epoch: int = 20) -> RunStarted:
    return RunStarted("MLP", "digits", "SGD", "numpy", 0, epochs, 64, steps_per_epoch)


@pytest.mark.parametrize("steps", [False, True])
def test_lines_are_standard_json_and_written_at_once(steps: bool, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    with training.JsonLines(path, method="sgd", steps=steps) as log:
        log(StepTaken(0, 1, 2.3))
        log(EpochEnded(RECORD, seconds=1.0))
        *before, line = path.read_text().splitlines()
    assert len(before) == steps
    record = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert record["event"] == "epoch_ended"
    assert record["method"] == "sgd"
    assert (record["train_loss"], record["validation_loss"]) == ("nan", "inf")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time passes only as a test says."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


@pytest.fixture(autouse=True)
def _not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def terminal(force: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    options: dict[str, Any] = {"force_terminal": force, "width": 80}
    return Console(file=stream, **options, _environ={"TERM": "xterm-256color"}), stream


@pytest.mark.parametrize(
    ("force", "ci", "colour", "bar"),
    [
        *[(True, "", "", True), (False, "", "", False), (True, "true", "", False)],
        (True, "", "1", False),
    ],
)
def test_a_terminal_gets_a_bar_and_a_pipe_forced_colours_and_ci_get_lines(
    force: bool, ci: str, colour: str, bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("FORCE_COLOR", colour)
    console, stream = terminal(force)
    with reporter(2, "runs", console) as progress:
        progress.advance(2, "a [bold] name")
    shown = stream.getvalue()
    assert ("\x1b" in shown) == bar
    assert "2/2" in shown
    assert "a [bold] name" in shown


def test_plain_lines_are_few_and_estimate_the_time_left_from_the_work_done(
    clock: Any,
) -> None:
    console, stream = terminal(False)
    with reporter(12, "runs", console) as progress:
        progress.advance(5, "found", found=True)
        for gone in (1, 40, 80, 30000, 40000, 40001, 40002):
            clock.now = 1000.0 + gone
            progress.advance()
    assert stream.getvalue().splitlines() == [
        "5/12 runs, 0.0 s: found",
        "7/12 runs, 40 s, about 2 min left",
        "8/12 runs, 80 s, about 2 min left",
        "9/12 runs, 8.3 h, about 6.2 h left",
        "10/12 runs, 11.1 h, about 4.4 h left",
        "12/12 runs, 11.1 h",
    ]


def test_the_bar_shows_the_time_left_after_one_long_piece(clock: Any) -> None:
    console, stream = terminal(True)
    with reporter(11, "runs", console) as progress:
        clock.now += 900.0  # as after a first evaluation
        progress.advance(6, found=True)
        for _ in range(2):
            clock.now += 100.0
            progress.advance()
    assert "18 min, about 5 min left" in stream.getvalue()


def test_a_run_shows_its_start_its_latest_loss_and_its_epochs(clock: Any) -> None:
    console, stream = terminal(False)
    with training.TrainingProgress(console) as progress:
        progress(started(epochs=1))
        for step in range(20):
            progress(StepTaken(step, 1, 1.0 + step))
            clock.now += 0.5
        progress(EpochEnded(RECORD, seconds=1.0))
        progress(RunEnded(1, 1.0, None))
    first, then, *_, last = stream.getvalue().splitlines()
    assert first == "0/20 steps, 0.0 s: evaluating the initial weights"
    assert then.endswith(" left: epoch 1, batch loss 11.0000")
    assert last.startswith("20/20 steps, 10 s: epoch 1, training loss nan")
    assert "accuracy 80.00 %" in last
    assert "\x1b" not in stream.getvalue()


def test_runs_one_after_the_other_have_a_bar_each_and_give_standard_output_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console, stream = terminal(True)
    standard_output = sys.stdout
    monkeypatch.setattr(standard_output, "isatty", lambda: True)
    with training.TrainingProgress(console) as progress:
        # The second run does not end, as one that was interrupted does not.
        for event in started(1, 16), RunEnded(1, 1.0, None), started(1, 32), started(1, 48):
            progress(event)
        assert sys.stdout is not standard_output
    assert sys.stdout is standard_output
    for total in (16, 32, 48):
        assert f"0/{total}" in stream.getvalue()


def test_output_to_a_file_during_a_bar_goes_to_the_file() -> None:
    console, stream = terminal(True)
    with redirect_stdout(io.StringIO()) as output, reporter(2, "runs", console):
        sys.stdout.write("a result\n")
    assert output.getvalue() == "a result\n"
    assert "a result" not in stream.getvalue()
