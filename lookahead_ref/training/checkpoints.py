"""The last few checkpoints of a run.

A checkpoint is a safetensors file: arrays by name, no code, readable from PyTorch, JAX and
Rust. Everything else is JSON under a single metadata key (the library orders several keys
at random, and the same state must give the same bytes). The JSON holds the SHA-256 of the
file, computed with zeros in its own place, so that any changed bit is found.

A checkpoint is written to a temporary file, flushed to the disk and renamed before older
ones are removed, so that the folder always holds a complete one. Its name has the number of
batches drawn.
"""

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.extras import require
from lookahead_ref.report.files import checked, stamp, write_atomically
from lookahead_ref.stopping import StopRequest
from lookahead_ref.system import read_file
from lookahead_ref.training.events import JsonLines
from lookahead_ref.training.state import SCHEMA, Snapshot

_KEY = "lookahead-ref"
_NO_DIGEST = "0" * 64
_NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}")
_SECONDS = 60.0
_MOST_BYTES = 2**40
_FORMAT = "lookahead-ref checkpoint"
_PROPERTIES: dict[str, Any] = {
    "configuration": {"type": "object"},
    "log_bytes": {"type": "integer", "minimum": 0},
    "state": SCHEMA,
}


class DamagedError(ValueError):
    """A file has changed since it was written."""


class CheckpointError(OSError):
    """A checkpoint cannot be written, or there is none to continue from."""


def encode(arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> bytes:
    """Encode arrays by name, and a record that JSON holds without loss, always alike.

    Examples
    --------
    >>> content = encode({"w": np.arange(3.0)}, {"step": 7})
    >>> arrays, record = decode(content)
    >>> arrays["w"], record
    (array([0., 1., 2.]), {'step': 7})
    >>> decode(content[:-1])
    Traceback (most recent call last):
        ...
    lookahead_ref.training.checkpoints.DamagedError: its checksum does not match
    """
    safetensors = require("safetensors.numpy", "experiments", purpose="write checkpoints")
    text = json.dumps(
        {"digest": _NO_DIGEST, "record": record},
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content: bytes = safetensors.save(contiguous, metadata={_KEY: text})
    digest = hashlib.sha256(content).hexdigest()
    # The metadata comes first in the file.
    return content.replace(_NO_DIGEST.encode(), digest.encode(), 1)


def decode(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays and the record given to `encode`.

    A changed bit, or a file of another kind, raises `DamagedError`.
    """
    safetensors = require("safetensors.numpy", "experiments", purpose="read checkpoints")
    from safetensors import SafetensorError

    try:
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        held = json.loads(metadata[_KEY])
        digest = str(held["digest"])
        blank = content.replace(digest.encode(), _NO_DIGEST.encode(), 1)
        if hashlib.sha256(blank).hexdigest() == digest:
            return safetensors.load(content), held["record"]
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"it is not a checkpoint: {error!r}") from error
    raise DamagedError("its checksum does not match")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a run that was killed while writing."""
    for path in filter(is_leftover, folder.iterdir()):
        path.unlink()


def is_leftover(path: Path) -> bool:
    """Whether a file is one that `write_atomically` did not finish."""
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file()


class Restored(NamedTuple):
    """A state to continue from."""

    snapshot: Snapshot
    path: Path
    """Its checkpoint."""
    log_bytes: int
    """The length of the log at the time."""


class CheckpointFolder:
    """Writes checkpoints to a folder, and finds the last good one.

    Parameters
    ----------
    folder : pathlib.Path
        The folder, locked.
    configuration : dict
        Everything that decides the run, as plain data. Checkpoints of other runs are
        refused.
    keep : int, default 3
        Number of checkpoints kept.
    every : int, optional
        Batches between checkpoints; by default there is one every minute.
    stopping : StopRequest, optional
        Returns whether to save and stop the run.
    """

    def __init__(
        self,
        folder: Path,
        configuration: Mapping[str, Any],
        *,
        keep: int = 3,
        every: int | None = None,
        stopping: StopRequest | None = None,
    ) -> None:
        self._folder = folder
        self._configuration = configuration
        self._keep = hyperparameters.count("keep", keep)
        if every is not None:
            every = hyperparameters.count("checkpoint_every", every)
        self._every = every
        self._log: JsonLines | None = None
        self._request = StopRequest() if stopping is None else stopping
        self._saved_at = -math.inf
        self._saved_batches = 0
        self.last: Path | None = None
        """The last good checkpoint."""

    def flush_first(self, log: JsonLines) -> None:
        """Flush a log to the disk before each checkpoint, which records its length."""
        self._log = log

    def due(self, batches: int) -> bool:
        """Return whether to save now: at the start, and at intervals."""
        if self._every is None or self.last is None:
            return time.monotonic() - self._saved_at >= _SECONDS
        return batches // self._every > self._saved_batches // self._every

    def stopping(self) -> bool:
        """Return whether to save and stop the run."""
        return self._request()

    def interruptible(self) -> AbstractContextManager[None]:
        """Return a context in which a signal raises `Interrupted`; see `Checkpoints`."""
        return self._request.interrupting()

    def save(self, batches: int, snapshot: Snapshot) -> None:
        """Write a checkpoint, then remove the oldest; see `Checkpoints`."""
        path = self._folder / f"checkpoint-{batches:08d}.safetensors"
        try:
            # Flushed first, so that the recorded length is on the disk.
            log_bytes = 0 if self._log is None else self._log.sync()
            record = {
                **stamp(_FORMAT),
                "configuration": self._configuration,
                "log_bytes": log_bytes,
                "state": snapshot.record,
            }
            write_atomically(path, encode(snapshot.arrays, record))
            for _, old in checkpoints_in(self._folder)[: -self._keep]:
                old.unlink()
        except OSError as error:
            last = "there is none yet" if self.last is None else f"the last is {self.last}"
            raise CheckpointError(
                f"the checkpoint {path} cannot be written: {error.strerror}; {last}"
            ) from error
        self._saved(path, batches)

    def _saved(self, path: Path, batches: int) -> None:
        self.last = path
        self._saved_at = time.monotonic()
        self._saved_batches = batches

    def restore(self, note: Callable[[str], None]) -> Restored | None:
        """Read the newest undamaged checkpoint; None if there is none yet.

        `note` is called for each that cannot be used. A damaged one is renamed, so that it
        is neither read again nor overwritten. If there are checkpoints but none can be
        used, that is a `CheckpointError`.
        """
        found = checkpoints_in(self._folder)
        for batches, path in reversed(found):
            try:
                arrays, record = decode(read_file(path, _MOST_BYTES))
            except DamagedError as damage:
                aside = _aside(path)
                note(f"{path} is damaged, {damage}; it is now {aside.name}")
                path.rename(aside)
                continue
            except OSError as error:
                note(f"{path} cannot be read: {error.strerror}")
                continue
            try:
                checked(record, _FORMAT, **_PROPERTIES)
            except ValueError as error:
                raise CheckpointError(f"{path} cannot be used: {error}") from error
            if record["configuration"] != self._configuration:
                raise CheckpointError(
                    f"{path} is of another run than the folder's run.json"
                )
            self._saved(path, batches)
            return Restored(Snapshot(arrays, record["state"]), path, record["log_bytes"])
        if found:
            raise CheckpointError(f"no checkpoint in {self._folder} can be used")
        return None


def checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """List the checkpoints in a folder, each after how many batches, the oldest first."""
    return sorted(
        (int(match[1]), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name))
    )


def _aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside
