"""One file that holds the state of a run, and knows when it was changed.

It is a safetensors file: arrays by name, no code, readable from PyTorch, JAX and Rust. All
that is no array is JSON under the metadata's one key (the library orders several at random,
and the same state shall give the same bytes). The JSON holds the SHA-256 of the whole file,
taken with zeros in its own place, so that no bit of the file can change unseen.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.extras import require

_KEY = "lookahead-ref"
_NO_DIGEST = "0" * 64


class DamagedError(ValueError):
    """A file is not as it was written."""


def encode(arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> bytes:
    """Make the content of a file: arrays by name, and what JSON can hold without loss.

    It is the same for the same arrays and record.

    Examples
    --------
    >>> content = encode({"w": np.arange(3.0)}, {"step": 7})
    >>> arrays, record = decode(content)
    >>> arrays["w"], record
    (array([0., 1., 2.]), {'step': 7})
    >>> decode(content[:-1])
    Traceback (most recent call last):
        ...
    lookahead_ref.training.checkpoint.DamagedError: its checksum does not match
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
    """Read the arrays and the record that were given to `encode`.

    A bit that has changed, or what is no such file, is a `DamagedError`.
    """
    safetensors = require("safetensors.numpy", "experiments", purpose="read checkpoints")
    from safetensors import SafetensorError

    try:
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        held = json.loads(metadata[_KEY])
        digest = str(held["digest"])
        blank = content.replace(digest.encode(), _NO_DIGEST.encode(), 1)
        if hashlib.sha256(blank).hexdigest() != digest:
            raise DamagedError("its checksum does not match")
        return safetensors.load(content), held["record"]
    except DamagedError:
        raise
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"it is no such file: {error!r}") from error
