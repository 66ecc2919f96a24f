"""What a result was computed with, and where it is put."""

import platform
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile

import lookahead_ref as la
from lookahead_ref.experiments.pool import available_cores
from lookahead_ref.report.files import write_atomically

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


def continued_folder(output: Path | None, prefix: str, kind: str) -> Path:
    """Make the folder of a job that may be stopped and continued, or find it again.

    Parameters
    ----------
    output : pathlib.Path or None
        The folder; by default a new one, as `new_folder` makes it.
    prefix : str
        What kind of run it is.
    kind : str
        What may share a folder: it is written there, and must be what is written there.

    Returns
    -------
    pathlib.Path
        The folder, new or of the same kind.

    Raises
    ------
    OutputFolderError
        If it holds something else, or cannot be made or written to.
    """
    mark = None if output is None else output / "kind.txt"
    if output is not None and mark is not None and mark.is_file():
        found = mark.read_text(encoding="utf-8").strip()
        if found != kind:
            raise OutputFolderError(
                f"output must be a new or empty folder, or one of {kind}, got {output}, "
                f"which is of {found}"
            )
        return output
    folder = new_folder(output, prefix)
    write_atomically(folder / "kind.txt", kind + "\n")
    return folder
