"""Runs that are killed, at any moment, end as if they had never been."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import outcome
from killing import Program, assert_ends_as_undisturbed, complete
from support import needs_fork

pytestmark = [pytest.mark.slow, needs_fork]

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
