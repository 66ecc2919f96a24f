"""Runs that are killed, at any moment, end as if they had never been."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from killing import Program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

DONE = {"killed": False, "error": ""}
LONG = {"epochs": 6, "batch_size": 4, "every": 2}
SHORT = {"epochs": 1, "batch_size": 20, "every": 1}


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """Start the program that forks."""
    with Program() as started:
        yield started


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder where flushing costs little, so that there is time for more kills."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run leaves behind but its times."""
    results = json.loads((folder / "results.json").read_text())
    del results["timing"]
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
    names = sorted(path.name for path in folder.iterdir())
    weights = (folder / "final.safetensors").read_bytes()
    return {"results": results, "log": lines, "files": names, "weights": weights}


def test_killed_at_random_moments_a_run_ends_with_the_same_bits(
    program: Program, folder: Path
) -> None:
    for name in ("first", "undisturbed"):  # the first one is slower
        began = time.monotonic()
        assert program(folder / name, **LONG) == DONE
        whole = time.monotonic() - began
    expected = outcome(folder / "undisturbed")

    rng = random.Random(1)
    kills = runs = 0
    while kills < 50:
        killed = folder / f"run{runs}"
        while True:
            ended = program(killed, seconds=rng.uniform(0.0, 0.6 * whole), **LONG)
            kills += ended["killed"]
            if not ended["killed"]:
                assert ended == DONE
                break
        assert outcome(killed) == expected
        runs += 1
    assert runs < kills  # that some were killed more than once


def test_killed_before_any_change_to_the_disk_a_run_ends_with_the_same_bits(
    program: Program, folder: Path
) -> None:
    assert program(folder / "undisturbed", **SHORT) == DONE
    expected = outcome(folder / "undisturbed")
    point = 1
    while program(folder / "run", point=point, **SHORT)["killed"]:
        assert program(folder / "run", **SHORT) == DONE
        assert outcome(folder / "run") == expected, f"point {point}"
        shutil.rmtree(folder / "run")
        point += 1
    assert point > 30


def test_the_command_itself_may_be_killed(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "lookahead_ref", "train"]
    begin = [*start, "--epochs", "12", "--checkpoint-every", "20", "--seed", "2"]

    def killed(command: list[str], folder: Path, lines: int) -> bool:
        """Kill a command when its log has grown by so many lines."""
        log = folder / "train.jsonl"
        before = log.read_bytes().count(b"\n") if log.exists() else 0
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if log.exists() and log.read_bytes().count(b"\n") >= before + lines:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.001)
        return process.wait() == -signal.SIGKILL

    folder = tmp_path / "killed"
    assert killed([*begin, "--output", str(folder)], folder, 33)
    resume = [*start, "--resume", str(folder)]
    assert killed(resume, folder, 77)
    for command in (resume, [*begin, "--output", str(tmp_path / "undisturbed")]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert outcome(folder) == outcome(tmp_path / "undisturbed")
