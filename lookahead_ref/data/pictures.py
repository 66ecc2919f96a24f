"""Data sets of pictures in one size: the digits, MNIST and similar ones, CIFAR.

All but the digits are bytes, CIFAR's in mapped files, and are normalised when taken. For
pictures of any size in separate files see `lookahead_ref.data.folders`.
"""

import gzip
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.data.augmentation import CropAndFlip
from lookahead_ref.data.batches import Examples, check_labelled
from lookahead_ref.data.datasets import Dataset, hold_out, stratified_split
from lookahead_ref.data.files import (
    DataFileError,
    check_labels,
    open_file,
    read_idx,
    read_words,
    require_files,
)
from lookahead_ref.extras import folder_of

CHUNK = 1024
MNIST_CLASSES = 10
DIGITS = tuple("0123456789")
# In the order of its authors' description.
FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
CIFAR_SHAPE = (3, 32, 32)
CIFAR_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, eq=False)
class Pictures:
    """Labelled pictures of bytes; `take` returns ``(pixel - mean) / deviation``."""

    # Arrays of shape (n, channels, height, width), or (n, features) for flat pictures of
    # one channel; and the label of every picture in them.
    parts: tuple[NDArray[np.uint8], ...]
    all_labels: NDArray[np.int64]
    # The selected pictures in the parts.
    rows: NDArray[np.int64]
    # In units of a byte, of shape (channels, 1, 1) or ().
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    def __post_init__(self) -> None:
        check_labelled("pictures", sum(map(len, self.parts)), self.all_labels)

    @staticmethod
    def whole(parts: list[NDArray[np.uint8]], labels: NDArray[np.int64]) -> "Pictures":
        """Make a source of all pictures of some parts, without normalisation."""
        zero, one = np.zeros((), np.float32), np.ones((), np.float32)
        return Pictures(tuple(parts), labels, np.arange(len(labels)), zero, one)

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.rows)

    def take(self, indices: NDArray[np.int64], /) -> Examples:
        """Return the pictures at `indices`, in that order, as float32."""
        rows = self.rows[indices]
        inputs = self._pixels(rows).astype(np.float32)
        inputs -= self.mean
        inputs /= self.deviation
        return Examples(inputs, self.all_labels[rows])

    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation of each channel; 1 for one that never varies."""
        # Summed as integers, so that the order does not matter.
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

    def split(
        self, test: "Pictures | None", validation: float, seed: int
    ) -> "tuple[Pictures, Pictures, Pictures | None]":
        """Hold out validation examples, or use the test, and normalise by the others."""
        held_out = np.zeros(self.size, bool)
        if validation != 0 or test is None:
            held_out = hold_out(self.all_labels[self.rows], validation, seed)
            if held_out.all() or not held_out.any():
                raise ValueError(
                    f"validation {validation} of {self.size} pictures leaves none to train "
                    "on or none to validate on"
                )
        train = replace(self, rows=self.rows[~held_out])
        mean, deviation = train.moments()
        train = replace(train, mean=mean, deviation=deviation)
        if test is not None:
            test = replace(test, mean=mean, deviation=deviation)
            if not held_out.any():
                return train, test, test
        return train, replace(train, rows=self.rows[held_out]), test

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


def load_digits(*, validation: float = 0.3, split_seed: int = 0) -> Dataset:
    """Load the handwritten digits of scikit-learn, without a download.

    They are 1797 pictures of 8 by 8 pixels: inputs float32 of shape (n, 64) from 0 to 1,
    labels from 0 to 9.

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.train.inputs.shape, digits.validation.inputs.shape
    ((1258, 64), (539, 64))
    """
    train, held = stratified_split(_digits(), validation=validation, seed=split_seed)
    return Dataset("digits", train, held, 10, image_shape=(1, 8, 8), class_names=DIGITS)


@cache  # a comparison loads them for each run
def _digits() -> Examples:
    # Importing scikit-learn takes a second, so its file is read directly.
    folder = folder_of("sklearn", "experiments", purpose="load the digits")
    path = folder / "datasets" / "data" / "digits.csv.gz"
    with open_file(path) as packed, gzip.GzipFile(fileobj=packed) as file:
        table = np.loadtxt(file, delimiter=",")
    # Dividing by 16 is exact.
    pixels, labels = table[:, :-1] / 16, table[:, -1]
    return Examples(pixels.astype(np.float32), labels.astype(np.int64))


def load_mnist(
    folder: str | Path,
    *,
    name: str = "mnist",
    validation: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Load MNIST [1]_ or a data set of the same layout, such as Fashion-MNIST [2]_.

    The folder holds ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, or the
    same with ``t10k``, or both; each plain or with ``.gz``. The t10k are the test; without
    training files they are split and there is no test. By default 1/12 of the 60,000
    training pictures, or else a fifth of the t10k, are held out.

    Inputs are float32 of shape (n, height * width), with mean 0 and variance 1 over the
    training examples; labels from 0 to 9.

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
    train, shape = _read_mnist(folder, "train", None)
    test, shape = _read_mnist(folder, "t10k", shape)
    if validation is None:
        validation = 1 / 5 if train is None else 1 / 12
    if train is None:
        train, test = test, None
    if train is None or shape is None:
        names = "neither train-images-idx3-ubyte nor t10k-images-idx3-ubyte"
        raise DataFileError(folder, f"{names} is in it, plain or with .gz")
    train, held, test = train.split(test, validation, split_seed)
    return Dataset(
        name,
        train,
        held,
        MNIST_CLASSES,
        test=test,
        image_shape=(1, *shape),
        class_names=FASHION if name == "fashion-mnist" else DIGITS,
    )


def _read_mnist(
    folder: Path, part: str, expected: tuple[int, int] | None
) -> tuple[Pictures | None, tuple[int, int] | None]:
    """Read the pictures of a part, if it exists, with their height and width."""
    images_path = _find_idx(folder, f"{part}-images-idx3-ubyte")
    if images_path is None:
        return None, expected
    labels_path = _find_idx(folder, f"{part}-labels-idx1-ubyte")
    if labels_path is None:
        raise DataFileError(
            folder, f"{images_path.name} is in it, {part}-labels-idx1-ubyte is not"
        )
    pixels = _read_bytes(images_path, dimensions=3)
    labels = _read_bytes(labels_path, dimensions=1)
    if len(labels) != len(pixels):
        wanted = f"{len(pixels)}, one for each picture in {images_path.name}"
        problem = f"{len(labels)} labels, expected {wanted}"
        raise DataFileError(labels_path, problem, offset=4)
    check_labels(labels_path, labels, MNIST_CLASSES, first_offset=8, stride=1)
    count, height, width = pixels.shape
    if expected not in (None, (height, width)):
        wanted = f"{expected[0]} by {expected[1]}, as for training"
        problem = f"pictures of {height} by {width}, expected {wanted}"
        raise DataFileError(images_path, problem, offset=8)
    flat = pixels.reshape(count, height * width)
    return Pictures.whole([flat], labels.astype(np.int64)), (height, width)


def _find_idx(folder: Path, name: str) -> Path | None:
    # Some copies have a dot where the original has a dash.
    for spelling in (name, name.replace("-idx", ".idx")):
        for path in (folder / spelling, folder / f"{spelling}.gz"):
            if path.is_file():
                return path
    return None


def _read_bytes(path: Path, dimensions: int) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != dimensions:
        came = f"{array.ndim} dimensions of {array.dtype}"
        raise DataFileError(path, f"{came}, expected {dimensions} of uint8", offset=2)
    return array


def load_cifar10(
    folder: str | Path, *, validation: float = 0.1, split_seed: int = 0
) -> Dataset:
    """Load CIFAR-10, ``data_batch_1.bin`` to ``_5.bin`` and ``test_batch.bin``.

    They are in the folder or in ``cifar-10-batches-bin`` there, from the binary
    distribution; the one for Python has pickles, which can run any code.

    Inputs are float32 of shape (n, 3, 32, 32), each channel of mean 0 and variance 1 over
    the training examples; labels from 0 to 9. Training batches are padded by 4 black
    pixels, cropped and mirrored at random.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    folder = _inside(Path(folder), "cifar-10-batches-bin")
    files = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    return _read_cifar("cifar10", folder, files, (10,), validation, split_seed)


def load_cifar100(
    folder: str | Path, *, validation: float = 0.1, split_seed: int = 0
) -> Dataset:
    """Load CIFAR-100, with its fine labels, from ``train.bin`` and ``test.bin``.

    It is like `load_cifar10`, except for the labels, from 0 to 99, and the folder that may
    hold the files, ``cifar-100-binary``.
    """
    folder = _inside(Path(folder), "cifar-100-binary")
    files = ["train.bin", "test.bin"]
    return _read_cifar("cifar100", folder, files, (20, 100), validation, split_seed)


def _inside(folder: Path, usual: str) -> Path:
    return folder / usual if (folder / usual).is_dir() else folder


def _read_cifar(
    name: str,
    folder: Path,
    files: list[str],
    label_classes: tuple[int, ...],
    validation: float,
    split_seed: int,
) -> Dataset:
    """Read files, of which the last one is the test."""
    hint = " (of the binary distribution; the one for Python is not read)"
    paths = require_files(folder, files, hint)
    records = [_cifar_records(path, label_classes) for path in paths]
    for path, part in zip(paths[1:-1], records[1:-1], strict=True):
        # Nothing else shows that a file was cut between two records.
        if len(part) != len(records[0]):
            wanted = f"{len(records[0])}, as in {paths[0].name}"
            problem = f"{len(part)} records, expected {wanted}"
            raise DataFileError(path, problem, offset=part.size)
    train, held, test = _cifar_pictures(records[:-1]).split(
        _cifar_pictures(records[-1:]), validation, split_seed
    )
    black = -train.mean / train.deviation
    return Dataset(
        name,
        train,
        held,
        classes=label_classes[-1],
        test=test,
        augment=CropAndFlip(padding=4, fill=black),
        image_shape=CIFAR_SHAPE,
        class_names=_cifar_names(folder, label_classes[-1]),
    )


def _cifar_names(folder: Path, classes: int) -> tuple[str, ...]:
    """Read the names of the classes, if their file exists."""
    path = folder / ("batches.meta.txt" if classes == 10 else "fine_label_names.txt")
    if not path.is_file():
        return ()
    names = tuple(" ".join(line) for line in read_words(path))
    if len(names) != classes:
        raise DataFileError(path, f"{len(names)} names, expected {classes}")
    return names


def _cifar_records(path: Path, label_classes: tuple[int, ...]) -> NDArray[np.uint8]:
    # One byte for each label, the coarse class before the fine one, then the red plane,
    # the green and the blue, each 32 rows of 32.
    length = len(label_classes) + CIFAR_PIXELS
    with open_file(path) as file:
        size = file.seek(0, 2)
        if size == 0 or size % length:
            problem = f"{size} bytes, expected records of {length}"
            raise DataFileError(path, problem, offset=size - size % length)
        records = np.asarray(np.memmap(file, np.uint8, "r", shape=(size // length, length)))
    for place, classes in enumerate(label_classes):
        check_labels(path, records[:, place], classes, first_offset=place, stride=length)
    return records


def _cifar_pictures(records: list[NDArray[np.uint8]]) -> Pictures:
    return Pictures.whole(
        [part[:, -CIFAR_PIXELS:].reshape(-1, *CIFAR_SHAPE) for part in records],
        np.concatenate([part[:, -CIFAR_PIXELS - 1] for part in records]).astype(np.int64),
    )
