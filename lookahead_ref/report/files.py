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
    """Write a file, text as UTF-8, so that a reader sees the old content or the new."""
    # Also where the machine stops in between: the content, and then the name, is flushed to
    # the disk. Where that fails the old file is as it was.
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
    """Write anything that `jsonable` takes as JSON, atomically, indented."""
    text = json.dumps(jsonable(value), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text + "\n")


def jsonable(value: Any) -> Any:
    """Turn nested containers into what JSON can hold; infinity becomes ``"inf"``."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
