"""MNIST, and Fashion-MNIST, which has the same format and the same file names."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.data.dataset import Dataset
from lookahead_ref.data.errors import DataFileError, check_labels
from lookahead_ref.data.idx import read_idx
from lookahead_ref.data.pictures import Pictures, split_and_normalize, whole

__all__ = ["load_mnist"]

CLASSES = 10


def load_mnist(
    folder: str | Path,
    *,
    name: str = "mnist",
    validation_fraction: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Load MNIST or a data set of the same layout, such as Fashion-MNIST.

    Parameters
    ----------
    folder : str or pathlib.Path
        Holds ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, or the same
        with ``t10k``, or both; each plain or with ``.gz``. Plain files are mapped into
        memory.
    name : str, default "mnist"
        Of the data set.
    validation_fraction : float, optional
        Share of each class that is held out for validation: by default 1/12 of the
        60,000 training pictures, or a fifth of the t10k where only they are there.
    split_seed : int, default 0
        Decides the split; no part of a run's seed.

    Returns
    -------
    Dataset
        Inputs float32 of shape (n, height * width), of mean 0 and variance 1 over the
        training examples; labels from 0 to 9. The t10k are the test, unless only they
        are there: then they are split and there is no test.

    Raises
    ------
    DataFileError
        If there are no such files or one is not right.
    OSError
        If a file cannot be read.
    ValueError
        If the fraction is not between 0 and 1.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied
       to Document Recognition", Proceedings of the IEEE 86, 1998.
    .. [2] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
       Benchmarking Machine Learning Algorithms", arXiv:1708.07747, 2017.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataFileError(folder, "no such folder")
    train, test = _read(folder, "train"), _read(folder, "t10k")
    if validation_fraction is None:
        validation_fraction = 1 / 5 if train is None else 1 / 12
    if train is None:
        train, test = test, None
    if train is None:
        raise DataFileError(
            folder,
            "neither train-images-idx3-ubyte nor t10k-images-idx3-ubyte is in it, plain "
            "or with .gz",
        )
    height, width = train.shape[1:]
    if test is not None and test.shape[1:] != (height, width):
        raise DataFileError(
            test.path,
            f"pictures of {test.shape[1]} by {test.shape[2]}, expected {height} by "
            f"{width}, as for training",
            offset=8,
        )
    splits = split_and_normalize(
        train.flat(),
        None if test is None else test.flat(),
        validation_fraction=validation_fraction,
        seed=split_seed,
    )
    return Dataset(
        name,
        train=splits[0],
        validation=splits[1],
        classes=CLASSES,
        test=splits[2],
        image_shape=(1, height, width),
    )


class _Pair(NamedTuple):
    """A file of pictures with its file of labels."""

    path: Path
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pixels.shape

    def flat(self) -> Pictures:
        return whole([self.pixels.reshape(len(self.pixels), -1)], self.labels)


def _read(folder: Path, part: str) -> _Pair | None:
    images_path = _find(folder, f"{part}-images-idx3-ubyte")
    if images_path is None:
        return None
    labels_path = _find(folder, f"{part}-labels-idx1-ubyte")
    if labels_path is None:
        raise DataFileError(
            folder, f"{images_path.name} is in it, {part}-labels-idx1-ubyte is not"
        )
    pixels = _read_bytes(images_path, dimensions=3)
    labels = _read_bytes(labels_path, dimensions=1)
    if len(labels) != len(pixels):
        raise DataFileError(
            labels_path,
            f"{len(labels)} labels, expected {len(pixels)}, one for each picture in "
            f"{images_path.name}",
            offset=4,
        )
    check_labels(labels_path, labels, CLASSES, first_offset=8)
    return _Pair(images_path, pixels, labels.astype(np.int64))


def _find(folder: Path, name: str) -> Path | None:
    # Some copies have a dot where the original has a dash.
    for spelled in (name, name.replace("-idx", ".idx")):
        for path in (folder / spelled, folder / f"{spelled}.gz"):
            if path.is_file():
                return path
    return None


def _read_bytes(path: Path, dimensions: int) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != dimensions:
        raise DataFileError(
            path,
            f"{array.ndim} dimensions of {array.dtype}, expected {dimensions} of uint8",
            offset=2,
        )
    return array
