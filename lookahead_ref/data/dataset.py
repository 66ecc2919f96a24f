"""A named data set of labelled examples."""

from typing import NamedTuple

import numpy as np

from lookahead_ref.data.batches import Augmentation, BatchStream
from lookahead_ref.data.examples import ExampleSource

__all__ = ["Dataset"]


class Dataset(NamedTuple):
    """Labelled examples, split for training, validation and perhaps a test.

    Examples
    --------
    >>> from lookahead_ref.data import load_digits
    >>> digits = load_digits()
    >>> digits.classes, digits.image_shape, digits.train.size
    (10, (1, 8, 8), 1258)
    >>> batch = next(digits.stream(batch_size=32, seed=0).epoch())
    >>> batch.inputs.shape, batch.inputs.dtype
    ((32, 64), dtype('float32'))
    """

    name: str
    """Such as ``"cifar10"``."""
    train: ExampleSource
    """To learn from."""
    validation: ExampleSource
    """To choose by."""
    classes: int
    """Number of classes; labels are from 0 to one less."""
    test: ExampleSource | None = None
    """To report, where there is one."""
    augment: Augmentation | None = None
    """Applied to the inputs of training batches, by `stream`."""
    image_shape: tuple[int, int, int] | None = None
    """Channels, height and width of an input, also where inputs are flat; None if they
    are no pictures."""

    @property
    def features(self) -> int:
        """Number of values in an input."""
        return self.train.take(np.arange(1)).inputs.size

    def stream(self, batch_size: int, seed: int | np.random.SeedSequence) -> BatchStream:
        """Draw training batches, augmented where this data set has an augmentation.

        Parameters
        ----------
        batch_size : int
            Number of examples in a batch.
        seed : int or numpy.random.SeedSequence
            Decides the order and the augmentation.

        Returns
        -------
        BatchStream
            At its start.

        Raises
        ------
        TypeError, ValueError
            As `BatchStream` does.
        """
        return BatchStream(self.train, batch_size, seed, augment=self.augment)
