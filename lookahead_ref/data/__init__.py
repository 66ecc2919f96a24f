"""Real data, and how batches are drawn from it.

A file that is missing, cannot be read or is not what it should be is a `DataFileError` that
names it; an argument of the wrong type or out of its range a TypeError or ValueError.
"""

from lookahead_ref.data.augmentation import CropAndFlip
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
