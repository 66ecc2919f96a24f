"""What a result was computed with, and where it is put."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile

import lookahead_ref as la
from lookahead_ref.report.files import write_atomically
from lookahead_ref.system import available_cores
from lookahead_ref.training.folder import locked

__all__ = [
    "OutputFolderError",
    "continued_folder",
    "machine",
    "new_folder",
    "versions",
]


class OutputFolderError(ValueError):
    """The output folder cannot be used."""


def versions(*distributions: str) -> dict[str, str]:
    """List versions of this library, Python, the system and those that are installed."""
    found = {
        "lookahead-ref": la.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """Describe the machine: its ``Processor``, and the ``Cores`` that may be used."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or a processor that is not named there
    return {"Processor": name, "Cores": str(available_cores())}


def new_folder(output: Path | None, prefix: str) -> Path:
    """Make a folder that holds nothing yet: `output`, or ``runs/PREFIX-DATE-TIME``."""
    if output is None:
        output = Path("runs") / f"{prefix}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        occupied = any(output.iterdir())
        # The first file would come only when something has been trained.
        with TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise OutputFolderError(
            f"output must be a folder that can be made and written to, got {output}: "
            f"{error.strerror}"
        ) from error
    if occupied:
        raise OutputFolderError(f"output must be a new or empty folder, got {output}")
    return output


@contextmanager
def continued_folder(output: Path | None, prefix: str, kind: str) -> Iterator[Path]:
    """Hold the folder of a job that may be continued: a new one, or one of its kind."""
    if output is None or not (output / "kind.txt").is_file():
        output = new_folder(output, prefix)
    mark = output / "kind.txt"
    # Windows has no such lock.
    with locked(output) if os.name == "posix" else nullcontext():
        # Only now: another job may have begun there.
        if not mark.is_file():
            new_folder(output, prefix)
            write_atomically(mark, kind + "\n")
        found = mark.read_text(encoding="utf-8").strip()
        if found != kind:
            raise OutputFolderError(
                f"output must be a new or empty folder, or one of {kind}, got {output}, "
                f"which is of {found}"
            )
        yield output
