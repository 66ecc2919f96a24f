"""Files that are whole or not there, and plain data for JSON."""

import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["jsonable", "write_atomically", "write_json"]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The content goes to a temporary file in the same folder, which is flushed to the disk
    and then renamed; the folder is flushed, too, where the system can do that.

    Parameters
    ----------
    path : pathlib.Path
        The file; replaced if it exists.
    content : str or bytes
        What to write; text as UTF-8, its line ends as they are.

    Raises
    ------
    OSError
        If that fails. The temporary file is removed and the old file is as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    # Not the tempfile module, whose files are readable by the owner alone.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a disk that is full does not say for what
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, value: Any) -> None:
    """Write plain data as JSON, atomically, indented, with a line end.

    Parameters
    ----------
    path : pathlib.Path
        The file; replaced if it exists.
    value : object
        Anything that `jsonable` takes.
    """
    text = json.dumps(jsonable(value), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text + "\n")


def jsonable(value: Any) -> Any:
    """Turn nested dicts, lists and tuples into what JSON can hold.

    Parameters
    ----------
    value : object
        Mappings, lists, tuples, strings, numbers, booleans and None. Floats that are
        not finite, which JSON has not, become ``"nan"``, ``"inf"`` and ``"-inf"``.

    Returns
    -------
    object
        New containers.

    Examples
    --------
    >>> jsonable({"loss": float("nan"), "sizes": (64, 10)})
    {'loss': 'nan', 'sizes': [64, 10]}
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
