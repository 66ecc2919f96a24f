"""Pictures of one size, bytes in memory or in mapped files, normalised when taken."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.data.examples import Examples, hold_out

__all__ = ["Pictures", "split_and_normalize", "whole"]

CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Pictures:
    """Labelled pictures of bytes: `take` makes ``(pixel - mean) / deviation`` of them.

    Only what is taken is read and converted. An example source, as
    `lookahead_ref.data.Dataset` wants it.

    Parameters
    ----------
    parts : tuple of arrays of uint8
        Each of shape (n, channels, height, width), or (n, features) where pictures are
        flat and have one channel. One follows the other.
    all_labels : array of int64
        Of every picture in the parts.
    rows : array of int64
        Which of the pictures in the parts these are.
    mean, deviation : array of float32, shape (channels, 1, 1) or ()
        In units of a pixel's byte.

    Examples
    --------
    >>> pixels = np.array([[0, 255], [255, 0], [0, 0]], dtype=np.uint8)
    >>> pictures = whole([pixels[:2], pixels[2:]], np.array([3, 1, 4]))
    >>> pictures.moments()
    (array(85., dtype=float32), array(120.20815, dtype=float32))
    >>> pictures.take(np.array([2, 0]))
    Examples(inputs=array([[  0.,   0.],
           [  0., 255.]], dtype=float32), labels=array([4, 3]))
    """

    parts: tuple[NDArray[np.uint8], ...]
    all_labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Of these pictures."""
        return self.all_labels[self.rows]

    def take(self, indices: NDArray[np.int64], /) -> Examples:
        """Return the pictures at `indices`, in that order, as float32."""
        rows = self.rows[indices]
        inputs = self._pixels(rows).astype(np.float32)
        inputs -= self.mean
        inputs /= self.deviation
        return Examples(inputs, self.all_labels[rows])

    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each channel, in units of a pixel's byte.

        Summed as integers, so that they do not depend on an order.

        Returns
        -------
        mean, deviation : array of float32, shape (channels, 1, 1) or ()
            The deviation of a channel that never varies is given as 1.
        """
        of_channel = (0, 2, 3) if self.parts[0].ndim == 4 else (0, 1)
        total: Any = 0
        squares: Any = 0
        count = 0
        for start in range(0, self.size, CHUNK):
            pixels = self._pixels(self.rows[start : start + CHUNK]).astype(np.uint32)
            total = total + pixels.sum(axis=of_channel, dtype=np.int64)
            squares = squares + (pixels * pixels).sum(axis=of_channel, dtype=np.int64)
            count += pixels.size // np.size(total)
        mean = total / count
        variance = squares / count - mean * mean
        deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
        shape = (-1, 1, 1) if len(of_channel) == 3 else ()
        return (
            np.asarray(mean, np.float32).reshape(shape),
            np.asarray(deviation, np.float32).reshape(shape),
        )

    def _pixels(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        if len(self.parts) == 1:
            return self.parts[0][rows]
        starts = np.cumsum([0, *map(len, self.parts)])
        part = np.searchsorted(starts, rows, side="right") - 1
        pixels = np.empty((len(rows), *self.parts[0].shape[1:]), np.uint8)
        for number in np.unique(part):
            of_part = part == number
            pixels[of_part] = self.parts[number][rows[of_part] - starts[number]]
        return pixels


def whole(parts: list[NDArray[np.uint8]], labels: NDArray[np.int64]) -> Pictures:
    """Make a source of all pictures, whose values are those of the bytes.

    Parameters
    ----------
    parts : list of arrays of uint8
        As `Pictures` takes them.
    labels : array of int64
        As many as there are pictures.

    Returns
    -------
    Pictures
        Not normalised.
    """
    return Pictures(
        tuple(parts),
        labels,
        rows=np.arange(len(labels)),
        mean=np.zeros((), np.float32),
        deviation=np.ones((), np.float32),
    )


def split_and_normalize(
    pictures: Pictures, test: Pictures | None, *, validation_fraction: float, seed: int
) -> tuple[Pictures, Pictures, Pictures | None]:
    """Hold out pictures for validation, and normalise by what is left to train on.

    Parameters
    ----------
    pictures : Pictures
        For training and validation.
    test : Pictures or None
        For the test.
    validation_fraction : float
        Share of each class that is held out, between 0 and 1.
    seed : int
        Decides the split.

    Returns
    -------
    train, validation, test : Pictures
        Each channel of the first has mean 0 and variance 1. No test stays none.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1, or leaves nothing on a side.
    """
    held_out = hold_out(pictures.labels, validation_fraction=validation_fraction, seed=seed)
    if held_out.all() or not held_out.any():
        raise ValueError(
            f"validation_fraction {validation_fraction} of {pictures.size} pictures leaves "
            "none to train on or none to validate on"
        )
    train = replace(pictures, rows=pictures.rows[~held_out])
    mean, deviation = train.moments()
    return (
        replace(train, mean=mean, deviation=deviation),
        replace(pictures, rows=pictures.rows[held_out], mean=mean, deviation=deviation),
        None if test is None else replace(test, mean=mean, deviation=deviation),
    )
