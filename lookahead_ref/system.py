"""The system: available cores, memory, readable files, terminals."""

import errno
import gc
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def uncollected() -> Iterator[None]:
    """Do not look for unused objects meanwhile, as among millions that takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()  # what there is by now is old then, and not gone through at once
            gc.unfreeze()
            gc.enable()


def from_home(text: str) -> str:
    """Replace a leading ~ by the home folder, as a shell does not within a word."""
    # Unlike Path.expanduser, it leaves an unknown user's home unchanged.
    return os.path.expanduser(text)  # noqa: PTH111


def read_file(path: Path, most: int = 2**28) -> bytes:
    """Read a regular file of at most `most` bytes."""
    path.stat()  # raises if missing
    if problem := unreadable(path, most):
        raise OSError(errno.EINVAL, problem, str(path))
    return path.read_bytes()


def read_table(package: str, name: str) -> dict[str, Any]:
    """Read a TOML file of a package."""
    return tomllib.loads(files(package).joinpath(name).read_text(encoding="utf-8"))


def unreadable(path: Path, most: int) -> str | None:
    """Say why not to read a path: not a regular file, or more than `most` bytes."""
    # Opening a pipe may wait for ever, and a device may never end.
    if not path.is_file():
        return "it is no regular file" if path.exists() else "no such file"
    size = path.stat().st_size
    return f"{size} bytes, more than {most}" if size > most else None


def redraws(console: Any) -> bool:
    """Return whether a console is a person's terminal, which can redraw a line."""
    # With FORCE_COLOR, Rich takes any stream for a terminal; Jupyter keeps each line.
    forced = bool(os.environ.get("FORCE_COLOR")) and not console.file.isatty()
    return bool(
        console.is_terminal
        and not (console.is_dumb_terminal or console.is_jupyter or forced)
        and not os.environ.get("CI")
    )
