"""Ignored signals, no home and no compiler neither fail the tests nor make them wait."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SENSITIVE = {
    "training/test_checkpoints.py": "(asked_to_end and not 15) or asking_twice",
    "conformance/test_runner.py": "interrupted_run and not 15",
    "zoo/test_on_a_device.py": "training and lstm",
}
LIMIT = 120
"""Seconds; a tenth of them is enough."""


@pytest.mark.slow
def test_ignored_signals_no_home_and_no_compiler_are_no_failure_and_nothing_waits() -> None:
    # A shell starts what is in the background with these signals ignored.
    ignoring = ["/bin/sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh"]
    chosen = " or ".join(f"({each})" for each in SENSITIVE.values())
    run = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    places = [str(TESTS / each) for each in SENSITIVE]
    with subprocess.Popen(
        [*ignoring, *run, *places, "-k", chosen],
        env=os.environ | {"HOME": "/nonexistent", "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=LIMIT)
        finally:
            # All that it started is of its group, unless it has ended.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    assert "4 passed" in said
