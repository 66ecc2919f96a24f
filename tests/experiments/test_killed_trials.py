"""Commands of many runs that are stopped or killed end as if they had never been."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from commands import Done, succeeded
from killing import Program, assert_ends_as_undisturbed
from support import needs_fork, started

pytestmark = [pytest.mark.slow, needs_fork]

TIMES = rb'"(seconds|started|sha256)": [^,}\n]+|<dt>(Run at|Took)</dt><dd>[^<]+'


def left(folder: Path) -> dict[str, bytes]:
    """All bytes that trials and commands leave behind but their times."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*.*")}
    return {name: re.sub(TIMES, b"", file.read_bytes()) for name, file in files.items()}


@pytest.mark.parametrize("name", ["training", "fig10"])
def test_killed_at_random_moments_trials_have_the_same_results(
    name: str, program: Program, tmp_path: Path
) -> None:
    assert_ends_as_undisturbed(program, tmp_path, left, 12, trials=name)
    assert len(left(tmp_path / "undisturbed")) == 2


COMMANDS = {
    "sweep": "sweep --optimizer sgd --optimizer lookahead-sgd --epochs 60",
    "compare": "compare --optimizer sgd --seeds 1 --epochs 60",
    "reproduce": "reproduce fig10 --seeds 2 --epochs 60",
}


def begun(name: str, folder: Path) -> Any:
    """A command of two runs, each in its own process."""
    command = [sys.executable, "-m", "lookahead_ref", *COMMANDS.get(name, name).split()]
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return started([*command, "--jobs", "2", "--output", str(folder)], **options, text=True)


def ended(name: str, folder: Path) -> Done:
    """The same command in this process, to its end."""
    return succeeded(f"{COMMANDS[name]} --jobs 1 --output", str(folder))


def under_way(folder: Path) -> list[Path]:
    """The folders of the trials that have begun and are not done."""
    return [path.parent for path in folder.glob("trials/*/run.json")]


@pytest.mark.parametrize(
    ("name", "number"),
    [("sweep", signal.SIGTERM), ("compare", signal.SIGINT), ("reproduce", signal.SIGHUP)],
)
def test_a_stopped_command_saves_its_runs_and_can_continue(
    name: str, number: signal.Signals, tmp_path: Path
) -> None:
    with begun(name, tmp_path / "stopped") as process:
        while len(under_way(tmp_path / "stopped")) < 2:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == 128 + number
    assert "the work so far is saved; to continue: lookahead-ref" in said
    stopped = under_way(tmp_path / "stopped")
    assert stopped
    said = ended(name, tmp_path / "stopped").stderr
    assert all(f"continuing from {trial}/checkpoint-" in said for trial in stopped)
    ended(name, tmp_path / "undisturbed")
    assert left(tmp_path / "stopped") == left(tmp_path / "undisturbed")


KILLED = os.environ.get("LOOKAHEAD_KILLED")
"""A command of two runs or more to kill twenty times, such as one on data of your own."""


def workers(command: int) -> list[int]:
    """The processes that do a command's runs."""
    children = Path(f"/proc/{command}/task/{command}/children").read_text().split()
    found = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, words in found.items() if b"spawn_main" in words]


def computed(command: int) -> int:
    """For how many ticks of the clock a command and its workers have computed."""
    stats = [Path(f"/proc/{pid}/stat") for pid in (command, *workers(command))]
    fields = [stat.read_text().rpartition(")")[2].split()[11:15] for stat in stats]
    return sum(map(int, itertools.chain(*fields)))


def kill(
    process: subprocess.Popen[str], moment: int, number: int, *, of_worker: bool
) -> bool:
    """Kill a command or a worker when so much was computed; False: it ended before."""
    while process.poll() is None:
        with suppress(OSError):  # of a process that has just ended
            pids = workers(process.pid) if of_worker else [process.pid]
            if pids and computed(process.pid) >= moment:
                os.kill(pids[-1], number)
                return True
        time.sleep(0.01)
    return False


def end(
    name: str, folder: Path, whole: int, kills: list[signal.Signals], rng: random.Random
) -> None:
    """Do a command again and again, killed at random moments, until it has ended."""
    code = None
    while code != 0:
        number = 0
        with begun(name, folder) as process:
            moments = sorted(rng.sample(range(whole), 2))
            for moment, of_worker in zip(moments, (True, False), strict=True):
                if kills and kill(process, moment, kills[-1], of_worker=of_worker):
                    number = kills.pop()
            _, said = process.communicate()  # ends when no worker is left to write to it
            code = process.returncode
        assert code in (0, 128 + number, -number), said


@pytest.mark.parametrize("name", [KILLED or "sweep"])
def test_a_command_that_is_killed_at_random_moments_leaves_the_same_bytes(
    name: str, tmp_path: Path
) -> None:
    if KILLED:
        signal.alarm(0)  # it takes as long as it takes
    with begun(name, tmp_path / "undisturbed") as process:
        whole = 0
        while process.poll() is None:
            with suppress(OSError):
                whole = max(whole, computed(process.pid))
            time.sleep(0.01)
        process.communicate()
    expected = left(tmp_path / "undisturbed")
    assert {"results.json", "results.csv", "report.html"} <= expected.keys()
    rng = random.Random(1)
    numbers = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    kills = [rng.choice(numbers) for _ in range(20)] if KILLED else numbers * 2
    folders = map(tmp_path.joinpath, map(str, itertools.count()))
    while kills:
        folder = next(folders)
        end(name, folder, whole, kills, rng)
        assert left(folder) == expected
