"""Random changes of training pictures, different in each epoch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lookahead_ref import hyperparameters

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""

Cut: TypeAlias = Callable[[int, int], tuple[Box, bool]]
"""From a picture's width and height to the box to crop, and whether to mirror it."""


@dataclass(frozen=True)
class CropAndFlip:
    """Pad each picture, crop it at random to its size, and mirror half of them.

    Called with a batch of shape (n, channels, height, width) and a generator it returns a
    new batch of that shape and dtype. With a padding of 4 it is the usual augmentation for
    CIFAR, which the paper's experiments use too (section 4.2 of K. He, X. Zhang, S. Ren and
    J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016).

    Examples
    --------
    >>> picture = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> CropAndFlip(padding=1)(picture, np.random.default_rng(0))
    array([[[[5., 4., 3.],
             [8., 7., 6.],
             [0., 0., 0.]]]])
    """

    padding: int
    """Pixels added on each side."""
    fill: Any = field(default=0.0, compare=False)
    """Their value, shape (channels, 1, 1) or (): black, in the units of the inputs."""

    def __post_init__(self) -> None:
        hyperparameters.count("padding", self.padding, least=0)

    def __call__(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Augment a batch."""
        n, channels, height, width = inputs.shape
        pad = self.padding
        padded = np.empty(
            (n, channels, height + 2 * pad, width + 2 * pad), dtype=inputs.dtype
        )
        padded[:] = self.fill
        padded[:, :, pad : pad + height, pad : pad + width] = inputs
        top, left = rng.integers(0, 2 * pad, size=(2, n), endpoint=True)
        windows = sliding_window_view(padded, (height, width), axis=(2, 3))
        cropped = windows[np.arange(n), :, top, left]
        mirrored = rng.random(n) < 0.5
        cropped[mirrored] = cropped[mirrored, :, :, ::-1]
        return cropped


@dataclass(frozen=True)
class ResizedCrop:
    """Crop each picture to a box of random size, shape and place, and mirror half of them.

    It is the usual augmentation for ImageNet: the box's share of the area is uniform in
    `area`, and the logarithm of its width over its height in that of `aspect`. If the box
    does not fit into the picture, it is drawn again; after ten times the largest box in the
    middle is used (C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section
    6). The source resizes it to its inputs.

    A batch stream passes `cuts` to the ``take`` of a source of picture files.

    Examples
    --------
    >>> [cut] = ResizedCrop().cuts(1, np.random.default_rng(0))
    >>> (left, top, right, bottom), mirrored = cut(500, 375)
    >>> 0.08 <= (right - left) * (bottom - top) / (500 * 375) <= 1
    True
    """

    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def cuts(self, n: int, rng: np.random.Generator) -> Iterator[Cut]:
        """Draw the crops of `n` pictures of any sizes."""
        drawn = rng.random((n, 10, 4))
        mirrored = rng.random(n) < 0.5
        return map(partial, [self._cut] * n, drawn, mirrored)

    def _cut(
        self, drawn: NDArray[np.float64], mirrored: bool, width: int, height: int
    ) -> tuple[Box, bool]:
        smallest, largest = self.area
        low, high = self.aspect
        for area, shape, across, down in drawn.tolist():
            pixels = width * height * (smallest + area * (largest - smallest))
            aspect = low * (high / low) ** shape
            w, h = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
            if w <= width and h <= height:
                left, top = across * (width - w), down * (height - h)
                break
        else:
            w, h = min(width, height * high), min(height, width / low)
            left, top = (width - w) / 2, (height - h) / 2
        box = (left, top, min(left + w, width), min(top + h, height))
        return box, bool(mirrored)
