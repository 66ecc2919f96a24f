"""Writers of the formats that the readers read, for their tests."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHARED = Path(__file__).parents[2] / "shared" / "data"
"""Real files, where they lie beside the checkout."""

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array: NDArray[Any]) -> bytes:
    code = CODES[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return (
        bytes([0, 0, code, array.ndim])
        + sizes
        + array.astype(f">{array.dtype.str[1:]}").tobytes()
    )


def cifar_records(labels: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> bytes:
    """Records of labels (n, 1 or 2) and pixels (n, 3, 32, 32)."""
    return np.hstack([labels, pixels.reshape(len(pixels), -1)]).astype(np.uint8).tobytes()


def digit_like(
    n: int, seed: int, shape: Sequence[int] = (28, 28), classes: int = 10
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Random pixels, and labels that go round through the classes."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    return pixels, (np.arange(n) % classes).astype(np.uint8)


def write_mnist(folder: Path, **parts: int) -> None:
    """Write MNIST's files, with so many pictures in each part, train or t10k."""
    for part, n in parts.items():
        pixels, labels = digit_like(n, seed=n)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def encoded(kind: str, pixels: np.ndarray) -> bytes:
    """A picture in a file format, by its name."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()
