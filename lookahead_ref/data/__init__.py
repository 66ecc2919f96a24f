"""Real data, and how batches are drawn from it.

A file that is missing, cannot be read or is not what it should be is a `DataFileError` that
names it; an argument of the wrong type or out of its range a TypeError or ValueError. What
needs a distribution that is not installed is a `lookahead_ref.extras.MissingExtraError`.
What loads data names alike:

folder, path : str or pathlib.Path
    Where the files lie. Large ones are mapped into memory.
validation : float or int
    Share of each class that is held out for validation, between 0 and 1, rounded to the
    nearest number of examples; or how many examples in all. With 0 none are held out, and
    the test examples are those to validate on, too.
split_seed : int, default 0
    Decides the split. It is no part of a run's seed: runs of different seeds see the same
    split, so that their deviation is that of the training alone.
window : int
    Steps in a batch of a text; by default 35 words or 100 characters.
unit : {"words", "characters"}
    What a token of a text is.
"""

from lookahead_ref.data.augmentation import CropAndFlip, ResizedCrop
from lookahead_ref.data.batches import (
    BatchStream,
    Examples,
    ExampleSource,
    Window,
    WindowStream,
)
from lookahead_ref.data.datasets import Corpus, Dataset
from lookahead_ref.data.files import DataFileError, read_idx
from lookahead_ref.data.folders import load_images
from lookahead_ref.data.loading import SOURCES, load
from lookahead_ref.data.pictures import load_cifar10, load_cifar100, load_digits, load_mnist
from lookahead_ref.data.text import load_ptb, load_pydoc, load_text

__all__ = [
    "SOURCES",
    "BatchStream",
    "Corpus",
    "CropAndFlip",
    "DataFileError",
    "Dataset",
    "ExampleSource",
    "Examples",
    "ResizedCrop",
    "Window",
    "WindowStream",
    "load",
    "load_cifar10",
    "load_cifar100",
    "load_digits",
    "load_images",
    "load_mnist",
    "load_ptb",
    "load_pydoc",
    "load_text",
    "read_idx",
]
