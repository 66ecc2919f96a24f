"""Runs that are killed, at any moment, end as if they had never been."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import outcome, succeeded
from killing import Program, assert_ends_as_undisturbed, complete
from support import started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

LONG = {"epochs": 6, "batch_size": 4, "every": 2}
SHORT = {"epochs": 1, "batch_size": 20, "every": 1}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder where flushing costs little, so that there is time for more kills."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def test_killed_at_random_moments_a_run_ends_with_the_same_bits(
    program: Program, folder: Path
) -> None:
    assert_ends_as_undisturbed(program, folder, outcome, 30, **LONG)


def test_killed_before_any_change_to_the_disk_a_run_ends_with_the_same_bits(
    program: Program, folder: Path
) -> None:
    complete(program, folder / "undisturbed", **SHORT)
    expected = outcome(folder / "undisturbed")
    point = 1
    while program(folder / "run", point=point, **SHORT)["killed"]:
        complete(program, folder / "run", **SHORT)
        assert outcome(folder / "run") == expected, f"point {point}"
        shutil.rmtree(folder / "run")
        point += 1
    assert point > 30


def test_the_command_itself_may_be_killed(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    begin = "train --epochs 30 --checkpoint-every 20 --seed 2 --output"
    command = [sys.executable, "-m", "lookahead_ref", *begin.split(), str(folder)]
    log = folder / "train.jsonl"
    with started(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if log.exists() and log.read_bytes().count(b"\n") >= 33:
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.001)
    assert process.returncode == -signal.SIGKILL

    succeeded("train --resume", str(folder))
    succeeded(begin, str(tmp_path / "undisturbed"))
    assert outcome(folder) == outcome(tmp_path / "undisturbed")
