"""Checked reading of files: the error, and the IDX format.

IDX is the format of MNIST (Y. LeCun, C. Cortes and C. Burges, "The MNIST database of
handwritten digits"): two zero bytes, a byte for the type of the values and one for the
number of dimensions; then the dimensions, as 32-bit integers, and the values, big-endian.
"""

import gzip
import io
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.system import unreadable

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 32
MOST_BYTES = 2**40  # of a file that is mapped
_PIECE = 2**16


@dataclass(eq=False, repr=False)
class DataFileError(ValueError):
    """A file or folder of data does not have its format.

    Examples
    --------
    >>> raise DataFileError(Path("labels"), "label 12, expected 0 to 9", offset=8)
    Traceback (most recent call last):
        ...
    lookahead_ref.data.files.DataFileError: labels, offset 8: label 12, expected 0 to 9
    """

    path: Path
    problem: str
    """What was expected and what came."""
    offset: int | None = None
    """The place, in bytes from 0 (of the unpacked content for gzip), if known."""
    line: int | None = None
    """The line of a text, from 1, if known."""

    def __post_init__(self) -> None:
        self.args = tuple(vars(self).values())  # for pickle

    def __str__(self) -> str:
        at_line = "" if self.line is None else f", line {self.line}"
        at_offset = "" if self.offset is None else f", offset {self.offset}"
        return f"{self.path}{at_line}{at_offset}: {self.problem}"


def open_file(path: Path, most: int = MOST_BYTES) -> io.BufferedReader:
    """Open a regular file of at most `most` bytes for reading."""
    try:
        if problem := unreadable(path, most):
            raise DataFileError(path, problem)
        return path.open("rb")
    except OSError as error:
        raise DataFileError(path, f"it cannot be read: {error.strerror}") from error


def read_words(path: Path) -> list[list[str]]:
    """Read the words of each line of a text, without empty lines at its end."""
    with open_file(path, 2**28) as file:
        text = file.read().decode(errors="replace")
    return [line.split() for line in text.rstrip().splitlines()]


def require_files(folder: Path, names: Iterable[str], hint: str = "") -> list[Path]:
    """Return the paths of required files in a folder."""
    paths = [folder / name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise DataFileError(folder, f"{', '.join(missing)} not in it{hint}")
    return paths


def check_labels(
    path: Path, labels: NDArray[np.uint8], classes: int, *, first_offset: int, stride: int
) -> None:
    """Refuse labels that are not below the number of classes."""
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        problem = f"label {labels[wrong[0]]}, expected 0 to {classes - 1}"
        raise DataFileError(path, problem, first_offset + stride * int(wrong[0]))


def read_idx(path: str | Path, *, limit: int = 2**30) -> NDArray[Any]:
    """Read an IDX file of at most `limit` bytes, plain or packed by gzip.

    The array is read-only and has the file's dimensions, type and byte order.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path).tolist()
    [7, 2, 1]
    """
    path, read = Path(path), 0
    with open_file(path) as packed:
        is_gzip = packed.read(2) == b"\x1f\x8b"
        packed.seek(0)
        file = gzip.GzipFile(fileobj=packed) if is_gzip else packed
        try:
            read, dtype, shape = _header(path, file)
            wanted = read + dtype.itemsize * math.prod(shape)
            values = f"{' by '.join(map(str, shape))} values of {dtype.itemsize} bytes"
            promise = f"the header says {values}, {wanted} bytes in all"
            if wanted > limit:
                raise DataFileError(path, f"{promise}, more than {limit}", offset=4)
            # In pieces, as what is promised may not be there; and to beyond the end, where
            # a gzip's checksum is.
            pieces = iter(partial(file.read, _PIECE), b"")
            content = b"".join(islice(pieces, (wanted - read) // _PIECE + 1))
        except EOFError:
            problem = "the gzip is cut: it ends before its last block does"
            raise DataFileError(path, problem, offset=read) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            problem = f"the gzip is damaged: {error}"
            raise DataFileError(path, problem, offset=read) from error
    if (size := read + len(content)) != wanted:
        came = "it goes on" if size > wanted else f"it has {size}"
        raise DataFileError(path, f"{promise}; {came}", offset=min(size, wanted))
    return np.frombuffer(content, dtype).reshape(shape)


def _header(
    path: Path, file: io.BufferedIOBase
) -> tuple[int, np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4:
        problem = f"{len(magic)} bytes, no room for IDX's magic number"
        raise DataFileError(path, problem, offset=0)
    zeros, kind, dimensions = magic[:2], magic[2], magic[3]
    if zeros != b"\0\0" or kind not in TYPES or not 1 <= dimensions <= MOST_DIMENSIONS:
        types = ", ".join(f"{known:02x}" for known in TYPES)
        problem = (
            f"the magic number {magic.hex()} is none of IDX: 0000, a type (one of {types}) "
            f"and the number of dimensions (01 to {MOST_DIMENSIONS:02x})"
        )
        raise DataFileError(path, problem, offset=0)
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        problem = f"cut within the sizes of {dimensions} dimensions"
        raise DataFileError(path, problem, offset=4 + len(sizes))
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    if 0 in shape:
        problem = f"dimensions {' by '.join(map(str, shape))} hold nothing"
        raise DataFileError(path, problem, offset=4 + 4 * shape.index(0))
    return 4 + len(sizes), np.dtype(TYPES[kind]), shape
