"""One file that holds the state of a run, and knows when it was changed.

It is a safetensors file: arrays by name, no code, readable from PyTorch, JAX and Rust. All
that is no array is JSON under the metadata's one key (the library orders several at random,
and the same state shall give the same bytes). The JSON holds the SHA-256 of the whole file,
taken with zeros in its own place, so that no bit of the file can change unseen.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.extras import require

__all__ = ["DamagedError", "decode", "encode"]

_KEY = "lookahead-ref"
_NO_DIGEST = "0" * 64
_DIGEST = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"')


class DamagedError(ValueError):
    """A file is not as it was written."""


def encode(arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> bytes:
    """Make the content of a file, the same for the same arrays and record.

    Parameters
    ----------
    arrays : dict
        Name to array.
    record : dict
        What JSON can hold without loss.

    Returns
    -------
    bytes
        All of it.

    Raises
    ------
    lookahead_ref.extras.MissingExtraError
        If safetensors is not installed.

    Examples
    --------
    >>> content = encode({"w": np.arange(3.0)}, {"step": 7})
    >>> arrays, record = decode(content)
    >>> arrays["w"], record
    (array([0., 1., 2.]), {'step': 7})
    >>> decode(content[:-1])
    Traceback (most recent call last):
        ...
    lookahead_ref.training.checkpoint.DamagedError: it is cut off: 1 bytes are missing
    """
    safetensors = require("safetensors.numpy", "experiments", purpose="write checkpoints")
    text = json.dumps(
        {"record": record, "sha256": _NO_DIGEST},
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content: bytes = safetensors.save(contiguous, metadata={_KEY: text})
    start, end = _digest_span(content)
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:start] + digest + content[end:]


def decode(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays and the record that were given to `encode`.

    Parameters
    ----------
    content : bytes
        All of the file.

    Returns
    -------
    arrays, record : dict
        As they were given.

    Raises
    ------
    DamagedError
        If a bit of it has changed, or it is no such file.
    lookahead_ref.extras.MissingExtraError
        If safetensors is not installed.
    """
    safetensors = require("safetensors.numpy", "experiments", purpose="read checkpoints")
    start, end = _digest_span(content)
    hashed = hashlib.sha256(content[:start])
    hashed.update(_NO_DIGEST.encode())
    hashed.update(memoryview(content)[end:])
    if hashed.hexdigest().encode() != content[start:end]:
        missing = _end(content) - len(content)
        if missing > 0:
            raise DamagedError(f"it is cut off: {missing} bytes are missing")
        raise DamagedError("its checksum does not match what is in it")
    text = _header(content)["__metadata__"][_KEY]
    record: dict[str, Any] = json.loads(text)["record"]
    return safetensors.load(content), record


def _digest_span(content: bytes) -> tuple[int, int]:
    length = int.from_bytes(content[:8], "little")
    found = _DIGEST.search(content, 8, 8 + min(length, len(content)))
    if found is None:
        raise DamagedError("it has no checksum where one must be")
    return found.span(1)


def _header(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    return header


def _end(content: bytes) -> int:
    """Return how long a file must be; 0 where its header cannot tell."""
    try:
        length = int.from_bytes(content[:8], "little")
        tensors = [v for n, v in _header(content).items() if n != "__metadata__"]
        return int(
            8 + length + max((each["data_offsets"][1] for each in tensors), default=0)
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return 0
