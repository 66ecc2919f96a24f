"""Runs that are killed: a program that imports once, then forks a process for each of them.

It reads a JSON object a line and answers each with how the process ended. ``folder`` is
where the run lives: it is begun there, or continued. ``seconds`` is when to kill it, and
``point`` the number of the change to the disk before which it is to kill itself.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from lookahead_ref.experiments import runs, single

TOYS = Path(__file__).with_name("toys.py")
SETTINGS = single.Settings(
    model=f"{TOYS}:normalised",
    data=f"{TOYS}:clouds",
    optimizer="lookahead-adam",
    learning_rate=0.05,
    k=3,
    inner_state="interpolate",
    schedule="cosine",
    clip=1.0,
    seed=5,
)


class Killer:
    """Kills this process at a moment that is given by its number."""

    def __init__(self, point: int) -> None:
        self._left = point

    def watch(self, owner: Any, name: str) -> None:
        call: Any = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        setattr(owner, name, watched)


@cache
def prepared(epochs: int, batch_size: int) -> single.Prepared:
    """Prepare the run, once."""
    return single.prepare(replace(SETTINGS, epochs=epochs, batch_size=batch_size))


def run(folder: Path, ready: single.Prepared, every: int) -> None:
    """Do, or go on with, the run."""
    with contextlib.ExitStack() as stack:
        if (folder / "run.json").exists():
            run = stack.enter_context(runs.continued(folder, lambda _: None))
            assert run.settings == ready.settings
        else:
            begun = runs.begin(
                folder, ready.settings, lambda _: None, checkpoint_every=every, keep=2
            )
            run = stack.enter_context(begun)
        single.run(ready, run)


def forked(order: dict[str, Any]) -> dict[str, Any]:
    """Do a run in a process of its own and tell how that ended."""
    ready = prepared(order["epochs"], order["batch_size"])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if order.get("point"):
                kill = Killer(order["point"])
                for name in ("fsync", "truncate"):
                    kill.watch(os, name)
                for name in ("replace", "rename", "unlink", "open"):
                    kill.watch(Path, name)
            run(Path(order["folder"]), ready, order["every"])
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if order.get("seconds") is not None:
        time.sleep(order["seconds"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {"killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status)}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)  # noqa: T201
