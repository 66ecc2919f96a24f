"""What is wrong with a file of data, and where."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["DataFileError", "check_labels"]


class DataFileError(ValueError):
    """A file or folder of data is not what its format asks for.

    Parameters
    ----------
    path : pathlib.Path
        The file or folder.
    problem : str
        What was expected and what came.
    offset : int, optional
        Where in the file, in bytes from 0; of a gzip, where in what it unpacks to.
    line : int, optional
        Where in a text; the first line is 1.

    Attributes
    ----------
    path, problem, offset, line
        As given.

    Examples
    --------
    >>> raise DataFileError(Path("labels"), "label 12, expected 0 to 9", offset=8)
    Traceback (most recent call last):
        ...
    lookahead_ref.data.errors.DataFileError: labels, offset 8: label 12, expected 0 to 9
    """

    def __init__(
        self,
        path: Path,
        problem: str,
        *,
        offset: int | None = None,
        line: int | None = None,
    ) -> None:
        place = "" if offset is None else f", offset {offset}"
        if line is not None:
            place = f", line {line}{place}"
        super().__init__(f"{path}{place}: {problem}")
        self.path = path
        self.problem = problem
        self.offset = offset
        self.line = line

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a worker process."""
        return _again, (self.path, self.problem, self.offset, self.line)


def _again(path: Path, problem: str, offset: int | None, line: int | None) -> DataFileError:
    return DataFileError(path, problem, offset=offset, line=line)


def check_labels(
    path: Path,
    labels: NDArray[np.uint8],
    classes: int,
    *,
    first_offset: int,
    stride: int = 1,
) -> None:
    """Check that the labels of a file are below the number of classes.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    labels : array of uint8, shape (n,)
        As they lie in it.
    classes : int
        The number of classes.
    first_offset, stride : int
        Where the first one lies, and how far apart they are, in bytes.

    Raises
    ------
    DataFileError
        If one is too large; it tells where the first of them is.
    """
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        raise DataFileError(
            path,
            f"label {labels[wrong[0]]}, expected 0 to {classes - 1}",
            offset=first_offset + stride * int(wrong[0]),
        )
