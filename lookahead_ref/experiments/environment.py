"""What a result was computed with, and where it is put."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile

import lookahead_ref as la
from lookahead_ref.experiments.pool import available_cores
from lookahead_ref.report.files import write_atomically
from lookahead_ref.training.folder import locked

__all__ = ["OutputFolderError", "continued_folder", "machine", "new_folder", "versions"]


class OutputFolderError(ValueError):
    """The output folder cannot be used."""


def versions(*distributions: str) -> dict[str, str]:
    """List versions of this library, Python, the system and other distributions.

    Parameters
    ----------
    *distributions : str
        Names of installed distributions; those that are not installed are left out.

    Returns
    -------
    dict
        Name to version.
    """
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
    """Describe the machine that something is computed on.

    Returns
    -------
    dict
        ``Processor``, its name where the system tells it, and ``Cores`` that this process
        may use.
    """
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or a processor that is not named there
    return {"Processor": name, "Cores": str(available_cores())}


def new_folder(output: Path | None, prefix: str) -> Path:
    """Make the folder of a run, which must hold nothing yet.

    Parameters
    ----------
    output : pathlib.Path or None
        The folder; by default ``runs/PREFIX-DATE-TIME`` below the working directory.
    prefix : str
        What kind of run it is.

    Returns
    -------
    pathlib.Path
        An empty folder.

    Raises
    ------
    OutputFolderError
        If it is a file, or a folder that is not empty, or it cannot be made.
    """
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
    """Make and hold the folder of a job that may be stopped and continued, or find it.

    Parameters
    ----------
    output : pathlib.Path or None
        The folder; by default a new one, as `new_folder` makes it.
    prefix : str
        What kind of run it is.
    kind : str
        What may share a folder: it is written there, and must be what is written there.

    Yields
    ------
    pathlib.Path
        The folder, new or of the same kind, which no other job uses meanwhile.

    Raises
    ------
    OutputFolderError
        If it holds something else, or cannot be made or written to.
    lookahead_ref.training.folder.FolderInUseError
        If another job is using it.
    """
    if output is None or not (output / "kind.txt").is_file():
        output = new_folder(output, prefix)
    mark = output / "kind.txt"
    with locked(output):
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
