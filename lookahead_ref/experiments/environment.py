"""The versions and machine behind a result, and the folders for results."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile

import lookahead_ref as la
from lookahead_ref.report.files import locked, write_atomically
from lookahead_ref.system import available_cores, read_file
from lookahead_ref.training.checkpoints import is_leftover, remove_leftovers


class OutputFolderError(ValueError):
    """The output folder cannot be used."""


def versions(*distributions: str) -> dict[str, str]:
    """List the versions of this library, Python, the system and installed packages."""
    found = {
        "lookahead-ref": la.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for name in distributions:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def machine() -> dict[str, str]:
    """Describe the machine: its ``Processor``, and the ``Cores`` that may be used."""
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):  # not Linux, or no name given there
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    return {"Processor": name, "Cores": str(available_cores())}


@contextmanager
def new_folder(output: Path | None, prefix: str) -> Iterator[Path]:
    """Make and lock an empty folder: `output`, or ``runs/PREFIX-DATE-TIME``."""
    with _held(output, prefix) as folder:
        _refuse_what_is_there(folder)
        yield folder


@contextmanager
def continued_folder(output: Path | None, prefix: str, kind: str) -> Iterator[Path]:
    """Lock a job's folder, either new or with an unfinished job of the same kind."""
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
    """Make a folder if need be, and lock it."""
    if output is None:
        output = Path("runs") / f"{prefix}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        # Otherwise the first write would come only after training.
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
    # Ignore what a run left that was killed while writing its first file.
    if any(not is_leftover(path) for path in folder.iterdir()):
        raise OutputFolderError(f"output must be a new or empty folder, got {folder}")
    remove_leftovers(folder)
