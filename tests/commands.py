"""Runs commands of lookahead-ref and jobs in this process."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from typer.testing import CliRunner
from typer.testing import Result as Done

from lookahead_ref.cli.app import app
from lookahead_ref.experiments.parallel import LocalProcesses


def called(line: str, *more: str) -> Done:
    """Call lookahead-ref; it may exit, but not raise."""
    done = CliRunner().invoke(app, [*shlex.split(line), *more])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def succeeded(line: str, *more: str) -> Done:
    """Call lookahead-ref, which must do what it is asked to."""
    done = called(line, *more)
    assert done.exit_code == 0, done.stderr
    return done


def refused(done: Done, says: str, code: int = 2) -> None:
    """A command that cannot be done says so in one line."""
    assert (done.exit_code, done.stderr.count("\n")) == (code, 1), done.stderr
    assert says in done.stderr


def results(folder: Path) -> Any:
    """What a job has written."""
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def outcome(folder: Path) -> dict[str, Any]:
    """All that a training run leaves behind but its times."""
    found = results(folder)
    del found["timing"]
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
    names = sorted(path.name for path in folder.iterdir())
    weights = (folder / "final.safetensors").read_bytes()
    return {"results": found, "log": lines, "files": names, "weights": weights}


def alone(jobs: int = 1) -> dict[str, Any]:
    """What does a job in this process, or in so many, and says nothing."""
    return {"workers": LocalProcesses(jobs), "console": Console(file=io.StringIO())}
