"""Real data, and how batches are drawn from it."""

from lookahead_ref.data.batches import BatchStream
from lookahead_ref.data.corpus import Corpus, Window, WindowStream
from lookahead_ref.data.dataset import Dataset
from lookahead_ref.data.digits import load_digits
from lookahead_ref.data.errors import DataFileError
from lookahead_ref.data.examples import Examples, ExampleSource
from lookahead_ref.data.loading import SOURCES, load

__all__ = [
    "SOURCES",
    "BatchStream",
    "Corpus",
    "DataFileError",
    "Dataset",
    "ExampleSource",
    "Examples",
    "Window",
    "WindowStream",
    "load",
    "load_digits",
]
