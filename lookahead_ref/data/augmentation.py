"""What is done to training pictures at random, so that no two epochs are the same."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lookahead_ref import hyperparameters


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
    """Pixels added on each side; 0 leaves pictures where they are."""
    fill: Any = field(default=0.0, compare=False)
    """What these hold, shape (channels, 1, 1) or (): black, in the units of the inputs."""

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
