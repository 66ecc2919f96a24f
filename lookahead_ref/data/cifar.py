"""CIFAR-10 and CIFAR-100, from their binary distributions.

A file is a row of records: one byte of label (CIFAR-100 has two, the coarse class before
the fine one), then 3072 bytes of pixels, the red plane, the green and the blue, each 32
rows of 32. The distributions for Python hold pickles, which run whatever is in them; they
are not read.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.data.augmentation import CropAndFlip
from lookahead_ref.data.dataset import Dataset
from lookahead_ref.data.errors import DataFileError, check_labels
from lookahead_ref.data.pictures import Pictures, split_and_normalize, whole

__all__ = ["load_cifar10", "load_cifar100"]

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


def load_cifar10(
    folder: str | Path, *, validation_fraction: float = 0.1, split_seed: int = 0
) -> Dataset:
    """Load CIFAR-10 from ``data_batch_1.bin`` to ``_5.bin`` and ``test_batch.bin``.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where they lie, or where ``cifar-10-batches-bin`` lies, which holds them. The
        files are mapped into memory.
    validation_fraction : float, default 0.1
        Share of each class of the training pictures that is held out for validation.
    split_seed : int, default 0
        Decides the split; no part of a run's seed.

    Returns
    -------
    Dataset
        Inputs float32 of shape (n, 3, 32, 32), each channel of mean 0 and variance 1
        over the training examples; labels from 0 to 9. Training batches are padded by 4
        black pixels, cropped and mirrored at random.

    Raises
    ------
    DataFileError
        If a file is missing or not right.
    OSError
        If a file cannot be read.
    ValueError
        If the fraction is not between 0 and 1.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    return _load(
        "cifar10",
        Path(folder),
        "cifar-10-batches-bin",
        [f"data_batch_{number}.bin" for number in range(1, 6)],
        "test_batch.bin",
        label_classes=(10,),
        validation_fraction=validation_fraction,
        split_seed=split_seed,
    )


def load_cifar100(
    folder: str | Path, *, validation_fraction: float = 0.1, split_seed: int = 0
) -> Dataset:
    """Load CIFAR-100, with its fine labels, from ``train.bin`` and ``test.bin``.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where they lie, or where ``cifar-100-binary`` lies, which holds them. The files
        are mapped into memory.
    validation_fraction : float, default 0.1
        As for `load_cifar10`.
    split_seed : int, default 0
        As for `load_cifar10`.

    Returns
    -------
    Dataset
        As `load_cifar10` returns it, with labels from 0 to 99.

    Raises
    ------
    DataFileError
        If a file is missing or not right.
    OSError
        If a file cannot be read.
    ValueError
        If the fraction is not between 0 and 1.
    """
    return _load(
        "cifar100",
        Path(folder),
        "cifar-100-binary",
        ["train.bin"],
        "test.bin",
        label_classes=(20, 100),
        validation_fraction=validation_fraction,
        split_seed=split_seed,
    )


def _load(
    name: str,
    folder: Path,
    usual_folder: str,
    train_files: list[str],
    test_file: str,
    *,
    label_classes: tuple[int, ...],
    validation_fraction: float,
    split_seed: int,
) -> Dataset:
    if (folder / usual_folder).is_dir():
        folder = folder / usual_folder
    paths = [folder / file for file in [*train_files, test_file]]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise DataFileError(
            folder,
            f"{', '.join(missing)} not in it (of the binary distribution; the one for "
            "Python is not read)",
        )
    records = [_records(path, label_classes) for path in paths]
    for path, part in zip(paths[1:-1], records[1:-1], strict=True):
        # A file that was cut between two records shows in nothing else.
        if len(part) != len(records[0]):
            raise DataFileError(
                path,
                f"{len(part)} records, expected {len(records[0])}, as in {paths[0].name}",
                offset=part.size,
            )
    train, validation, test = split_and_normalize(
        _pictures(records[:-1]),
        _pictures(records[-1:]),
        validation_fraction=validation_fraction,
        seed=split_seed,
    )
    black = -train.mean / train.deviation
    return Dataset(
        name,
        train=train,
        validation=validation,
        classes=label_classes[-1],
        test=test,
        augment=CropAndFlip(padding=4, fill=black),
        image_shape=SHAPE,
    )


def _records(path: Path, label_classes: tuple[int, ...]) -> NDArray[np.uint8]:
    length = len(label_classes) + PIXELS
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size == 0 or size % length:
            raise DataFileError(
                path,
                f"{size} bytes, expected records of {length}",
                offset=size - size % length,
            )
        records = np.asarray(np.memmap(file, np.uint8, "r", shape=(size // length, length)))
    for place, classes in enumerate(label_classes):
        check_labels(path, records[:, place], classes, first_offset=place, stride=length)
    return records


def _pictures(records: list[NDArray[np.uint8]]) -> Pictures:
    return whole(
        [part[:, -PIXELS:].reshape(-1, *SHAPE) for part in records],
        np.concatenate([part[:, -PIXELS - 1] for part in records]).astype(np.int64),
    )
