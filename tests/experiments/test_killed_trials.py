"""Commands of many runs that are stopped or killed end as if they had never been."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commands import Done, succeeded
from killing import Program, assert_ends_as_undisturbed
from support import started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]


def results(trials: Path) -> dict[str, Any]:
    """All that trials leave behind but their times."""
    found = {}
    for file in trials.iterdir():
        text = re.sub(r'"seconds": [0-9.e-]+', "", file.read_text())
        found[file.name] = re.sub(r'"sha256": "\w+"', "", text)
    return found


@pytest.mark.parametrize("name", ["training", "fig10"])
def test_killed_at_random_moments_trials_have_the_same_results(
    name: str, program: Program, tmp_path: Path
) -> None:
    assert_ends_as_undisturbed(program, tmp_path, results, 12, trials=name)
    assert len(results(tmp_path / "undisturbed")) == 2


COMMANDS = {
    "sweep": "sweep --optimizer sgd --optimizer lookahead-sgd --epochs 60",
    "compare": "compare --optimizer sgd --seeds 1 --epochs 60",
    "reproduce": "reproduce fig10 --seeds 2 --epochs 60",
}


def begun(name: str, folder: Path) -> Any:
    """A command of two runs, in processes of their own."""
    command = [sys.executable, "-m", "lookahead_ref", *COMMANDS[name].split()]
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return started([*command, "--jobs", "2", "--output", str(folder)], **options, text=True)


def ended(name: str, folder: Path) -> Done:
    """The same command in this process, to its end."""
    return succeeded(f"{COMMANDS[name]} --jobs 1 --output", str(folder))


def under_way(folder: Path) -> list[Path]:
    """The folders of the trials that have begun and are not done."""
    return [path.parent for path in folder.glob("trials/*/run.json")]


def wait_for_trials(folder: Path, count: int, process: subprocess.Popen[Any]) -> None:
    while len(under_way(folder)) < count:
        assert process.poll() is None
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("name", "number"),
    [("sweep", signal.SIGTERM), ("compare", signal.SIGINT), ("reproduce", signal.SIGHUP)],
)
def test_a_command_that_is_asked_to_end_saves_its_runs_and_goes_on(
    name: str, number: signal.Signals, tmp_path: Path
) -> None:
    with begun(name, tmp_path / "stopped") as process:
        wait_for_trials(tmp_path / "stopped", 2, process)
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == 128 + number
    assert "the work so far is saved; to continue: lookahead-ref" in said
    left = under_way(tmp_path / "stopped")
    assert left
    said = ended(name, tmp_path / "stopped").stderr
    assert all(f"continuing from {trial}/checkpoint-" in said for trial in left)
    ended(name, tmp_path / "undisturbed")
    expected = results(tmp_path / "undisturbed" / "trials")
    assert results(tmp_path / "stopped" / "trials") == expected


def test_a_worker_that_is_killed_goes_on_and_a_command_that_is_killed_leaves_none(
    tmp_path: Path,
) -> None:
    with begun("sweep", tmp_path / "killed") as process:
        wait_for_trials(tmp_path / "killed", 2, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        os.kill(int(children.split()[-1]), signal.SIGKILL)
        wait_for_trials(tmp_path / "killed", 2, process)
        process.kill()
        process.communicate()  # ends when no worker is left that could write to it
    assert process.returncode == -signal.SIGKILL
    for folder in ("killed", "undisturbed"):
        ended("sweep", tmp_path / folder)
    expected = results(tmp_path / "undisturbed" / "trials")
    assert results(tmp_path / "killed" / "trials") == expected
