"""The handwritten digits that scikit-learn ships: real data with no download.

1797 pictures of 8 by 8 pixels, of ten classes, from the UCI repository's "Optical
Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, 1998).
"""

import numpy as np

from lookahead_ref.data.dataset import Dataset
from lookahead_ref.data.examples import Examples, stratified_split
from lookahead_ref.extras import require

__all__ = ["load_digits"]


def load_digits(*, validation_fraction: float = 0.3, split_seed: int = 0) -> Dataset:
    """Load the digits, scaled to [0, 1] and split for training and validation.

    Parameters
    ----------
    validation_fraction : float, default 0.3
        Share of each class that is held out for validation.
    split_seed : int, default 0
        Decides the split. It is no part of a run's seed: runs of different seeds see
        the same split, so that their deviation is that of the training alone.

    Returns
    -------
    Dataset
        Inputs float32 of shape (n, 64) from 0 to 1, labels int64 from 0 to 9.

    Raises
    ------
    lookahead_ref.extras.MissingExtraError
        If scikit-learn is not installed.
    ValueError
        If the fraction is not between 0 and 1.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.train.inputs.shape, digits.validation.inputs.shape
    ((1258, 64), (539, 64))
    """
    datasets = require("sklearn.datasets", "experiments", purpose="load the digits")
    pixels, labels = datasets.load_digits(return_X_y=True)
    examples = Examples(
        # Sixteen grey levels: the division is exact.
        inputs=(pixels / 16).astype(np.float32),
        labels=labels.astype(np.int64),
    )
    train, validation = stratified_split(
        examples, validation_fraction=validation_fraction, seed=split_seed
    )
    return Dataset(
        "digits", train=train, validation=validation, classes=10, image_shape=(1, 8, 8)
    )
