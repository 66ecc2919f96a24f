"""What is outside: cores that may be used, files that can be read, terminals."""

import errno
import os
from pathlib import Path
from typing import Any


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def from_home(text: str) -> str:
    """Put the home folder in the place of a ~ that the shell, in a word's midst, left."""
    # Unlike Path's own, it leaves alone the home of somebody who is not known.
    return os.path.expanduser(text)  # noqa: PTH111


def read_file(path: Path, most: int = 2**28) -> bytes:
    """Read a regular file, which has an end, and not a larger one than is meant."""
    path.stat()  # tells of one that is not there
    if problem := unreadable(path, most):
        raise OSError(errno.EINVAL, problem, str(path))
    return path.read_bytes()


def unreadable(path: Path, most: int) -> str | None:
    """Say why a path is not to be opened: no regular file, or of more than `most` bytes."""
    # Opening a pipe would wait for its other end, and a device never ends.
    if not path.is_file():
        return "it is no regular file" if path.exists() else "no such file"
    size = path.stat().st_size
    return f"{size} bytes, more than {most}" if size > most else None


def redraws(console: Any) -> bool:
    """Say whether a console is a person's terminal, which can redraw a line."""
    # Asked for colours, Rich takes any stream for a terminal; in Jupyter each line stays.
    forced = bool(os.environ.get("FORCE_COLOR")) and not console.file.isatty()
    return bool(
        console.is_terminal
        and not (console.is_dumb_terminal or console.is_jupyter or forced)
        and not os.environ.get("CI")
    )
