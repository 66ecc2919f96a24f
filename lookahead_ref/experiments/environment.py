"""What a result was computed with, and where it is put."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile

import lookahead_ref as la
from lookahead_ref.report.files import write_atomically
from lookahead_ref.system import available_cores, read_file
from lookahead_ref.training.checkpoints import is_leftover, locked, remove_leftovers


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


@contextmanager
def new_folder(output: Path | None, prefix: str) -> Iterator[Path]:
    """Make and hold a folder with nothing in it: `output`, or ``runs/PREFIX-DATE-TIME``."""
    with _held(output, prefix) as folder:
        _refuse_what_is_there(folder)
        yield folder


@contextmanager
def continued_folder(output: Path | None, prefix: str, kind: str) -> Iterator[Path]:
    """Hold the folder of a job that may be continued: a new one, or one of its kind."""
    with _held(output, prefix) as folder:
        mark = folder / "kind.txt"
        if not mark.exists():
            _refuse_what_is_there(folder)
            write_atomically(mark, kind + "\n")
        found = read_file(mark, 2**16).decode(errors="replace").strip()
        if found != kind:
            raise OutputFolderError(
                f"output must be a new or empty folder, or one of {kind}, got {folder}, "
                f"which is of {found}"
            )
        remove_leftovers(folder)
        yield folder


@contextmanager
def _held(output: Path | None, prefix: str) -> Iterator[Path]:
    """Make a folder where there is none, and be the only run in it."""
    if output is None:
        output = Path("runs") / f"{prefix}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        # The first file would come only when something has been trained.
        with TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise OutputFolderError(
            f"output must be a folder that can be made and written to, got {output}: "
            f"{error.strerror}"
        ) from error
    with locked(output):
        yield output


def _refuse_what_is_there(folder: Path) -> None:
    # What a run left that was killed while it wrote its first file is nothing.
    if any(not is_leftover(path) for path in folder.iterdir()):
        raise OutputFolderError(f"output must be a new or empty folder, got {folder}")
    remove_leftovers(folder)
