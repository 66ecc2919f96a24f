"""What a result was computed with, and where it is put."""

import platform
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile

import lookahead_ref as la

__all__ = ["OutputFolderError", "new_folder", "versions"]


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
