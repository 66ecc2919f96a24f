"""Real data, and batches of it.

A missing, unreadable or wrong file is a `DataFileError` that names it; an argument of a
wrong type or out of range is a TypeError or ValueError; a missing optional dependency is a
`lookahead_ref.extras.MissingExtraError`. Common arguments of loading functions:

folder, path : str or pathlib.Path
    The location of the files.
validation : float or int
    Share of each class that is held out for validation, between 0 and 1, rounded to a
    number of examples; or the total number of examples. With 0 none are held out, and the
    test examples are also used for validation.
split_seed : int, default 0
    Seed of the split. It is separate from a run's seed, so that runs with different seeds
    have the same split and differ by training alone.
window : int
    Steps in a batch of a text; by default 35 words or 100 characters.
unit : {"words", "characters"}
    What a token of a text is.
"""

from lookahead_ref.data.augmentation import CropAndFlip, ResizedCrop
from lookahead_ref.data.batches import BatchStream, Examples, ExampleSource
from lookahead_ref.data.datasets import Corpus, Dataset
from lookahead_ref.data.files import DataFileError, read_idx
from lookahead_ref.data.folders import load_images
from lookahead_ref.data.loading import SOURCES, load
from lookahead_ref.data.pictures import load_cifar10, load_cifar100, load_digits, load_mnist
from lookahead_ref.data.text import load_ptb, load_pydoc, load_text
from lookahead_ref.data.windows import Window, WindowStream

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
