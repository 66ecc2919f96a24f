"""Files that are written whole or not at all, and checked JSON."""

import hashlib
import json
import math
import os
import reprlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from lookahead_ref.extras import require
from lookahead_ref.system import read_file

_TYPES: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    tuple: "array",
    NoneType: "null",
}


class FolderInUseError(ValueError):
    """Another run writes to the folder."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, so that a reader sees the old content or the new."""
    # Even if the machine stops: the content, and then the name, is flushed to the disk. If
    # that fails, the old file is unchanged.
    data = content.encode("utf-8") if isinstance(content, str) else content
    # Not the tempfile module, whose files only the owner can read.
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
            error.filename = str(path)  # the error of a full disk names no file
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FolderInUseError(
                f"another run is writing to {folder}: wait for it, or use another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write anything that `jsonable` takes as indented JSON, atomically."""
    text = json.dumps(jsonable(value), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text + "\n")


def stamp(form: str) -> dict[str, Any]:
    """Return a file's entries about its format, for `checked`."""
    return {"format": form, "format_version": 1}


def write_sealed(path: Path, form: str, record: Mapping[str, Any]) -> None:
    """Write JSON of a format with its checksum, for `read_sealed`."""
    sealed = jsonable({**stamp(form), **record})
    write_json(path, {**sealed, "sha256": _digest(sealed)})


def read_sealed(path: Path, form: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Read what `write_sealed` wrote, and check format, schemas and checksum."""
    try:
        found = json.loads(read_file(path))
        found = checked(found, form, sha256={"type": "string"}, **properties)
        changed = found.pop("sha256") != _digest(found)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if changed:
        raise ValueError("its checksum does not match: it was changed")
    return found


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def jsonable(value: Any) -> Any:
    """Convert nested containers for JSON; infinity becomes ``"inf"``."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def checked(data: Any, form: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Check data of a format against JSON schemas of its required entries."""
    jsonschema = require("jsonschema", "experiments", purpose="read the files of runs")
    stamped = {name: {"const": value} for name, value in stamp(form).items()}
    properties = {**stamped, **properties}
    wanted = {"type": "object", "properties": properties, "required": [*properties]}
    for error in jsonschema.Draft202012Validator(wanted).iter_errors(data):
        came = reprlib.repr(error.instance)
        raise ValueError(f"{error.json_path} of {form}: {error.message}, got {came}")
    return dict(data)


def schema(
    record: type, names: Iterable[str] | None = None, **properties: Any
) -> dict[str, Any]:
    """Make the JSON schema of a dataclass of plain data, or of some of its fields."""
    hints = get_type_hints(record)
    for name in hints if names is None else names:
        properties[name] = _of_type(hints[name])
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def _of_type(hint: Any) -> dict[str, Any]:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    found: dict[str, Any] = {"type": [_TYPES[get_origin(kind) or kind] for kind in kinds]}
    if int in kinds:
        found["minimum"] = 0  # each is a count
    for kind in kinds:
        if get_args(kind)[1:] == (...,):
            found["items"] = _of_type(get_args(kind)[0])
    return found
