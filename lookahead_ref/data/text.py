"""Texts as numbers, by words or by characters: Penn Treebank, any file, Python's topics.

White space separates words, and each line ends in ``<eos>``, as in the Penn Treebank of
language models (T. Mikolov et al., "Recurrent neural network based
language model", Interspeech 2010), whose files are already cut into words that way.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from lookahead_ref import hyperparameters
from lookahead_ref.data.datasets import Corpus
from lookahead_ref.data.files import DataFileError, open_file, require_files

Unit: TypeAlias = Literal["words", "characters"]

END_OF_LINE = "<eos>"
UNKNOWN = "<unk>"
# The size of the Penn Treebank's, which is full.
MOST_TOKENS = 10_000
MOST_BYTES = 2**30
# A twentieth of them is two tokens, for validation and the test.
FEWEST_TO_SPLIT = 40


def load_ptb(folder: str | Path, *, window: int = 35) -> Corpus:
    """Load the Penn Treebank for language models, by words.

    The folder holds ``ptb.train.txt``, ``ptb.valid.txt`` and ``ptb.test.txt``. The
    vocabulary is that of the training text, most frequent first; other words are ``<unk>``,
    which the files themselves have for rare ones.
    """
    hyperparameters.count("window", window)
    paths = require_files(
        Path(folder), [f"ptb.{part}.txt" for part in ("train", "valid", "test")]
    )
    return _numbered(
        "ptb", window, *(_tokens(path, _read(path), "words") for path in paths)
    )


def load_text(
    path: str | Path, *, unit: Unit = "words", window: int | None = None
) -> Corpus:
    """Load any text in UTF-8, of at most 1 GiB.

    Its first nine tenths are for training, the next twentieth for validation, the last for
    the test. The vocabulary has at most 10,000 tokens of the training part, most frequent
    first; others are ``<unk>``.
    """
    path = Path(path)
    return _split(path, path.stem, _read(path), unit, window)


def load_pydoc(*, unit: Unit = "words", window: int | None = None) -> Corpus:
    """Load Python's own ``help("TOPIC")``, a text that is always available.

    It differs from one version of Python to the next, and is split as by `load_text`.

    Examples
    --------
    >>> corpus = load_pydoc(unit="characters")
    >>> "".join(corpus.vocabulary[token] for token in corpus.train[:22])
    'The "assert" statement'
    """
    # Free half a megabyte that nothing else uses.
    from pydoc_data import topics

    text = "\n".join(topics.topics[topic] for topic in sorted(topics.topics))
    return _split(Path(topics.__file__), "pydoc", text, unit, window)


def _read(path: Path) -> str:
    with open_file(path, MOST_BYTES) as file:
        # Some system files have size 0 and no end.
        raw = file.read(os.fstat(file.fileno()).st_size)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        line = raw.count(b"\n", 0, at) + 1
        problem = f"byte {raw[at]:02x} is not UTF-8"
        raise DataFileError(path, problem, offset=at, line=line) from None
    # As Python reads text files, and without a byte order mark.
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _tokens(path: Path, text: str, unit: Unit) -> Sequence[str]:
    if not text.strip():
        raise DataFileError(path, f"no {unit} in it, only white space")
    if unit == "characters":
        return text
    lines = text.removesuffix("\n").split("\n")
    return [word for line in lines for word in (*line.split(), END_OF_LINE)]


def _split(path: Path, name: str, text: str, unit: Unit, window: int | None) -> Corpus:
    hyperparameters.option("unit", unit, get_args(Unit))
    if window is None:
        window = 35 if unit == "words" else 100
    hyperparameters.count("window", window)
    tokens = _tokens(path, text, unit)
    if len(tokens) < FEWEST_TO_SPLIT:
        problem = f"{len(tokens)} {unit} in it, expected at least {FEWEST_TO_SPLIT}"
        raise DataFileError(path, problem)
    twentieth = len(tokens) // 20
    train, validation = len(tokens) - 2 * twentieth, len(tokens) - twentieth
    parts = tokens[:train], tokens[train:validation], tokens[validation:]
    return _numbered(name, window, *parts)


def _numbered(name: str, window: int, *parts: Sequence[str]) -> Corpus:
    """Replace tokens by their places in the vocabulary of the first part, for training."""
    frequencies = Counter(parts[0])
    vocabulary = sorted(frequencies, key=lambda token: (-frequencies[token], token))
    vocabulary = vocabulary[:MOST_TOKENS]
    if UNKNOWN not in vocabulary and not set().union(*parts).issubset(vocabulary):
        vocabulary = [*vocabulary[: MOST_TOKENS - 1], UNKNOWN]
    number = {token: index for index, token in enumerate(vocabulary)}
    unknown = number.get(UNKNOWN)
    train, validation, test = (
        np.fromiter((number.get(token, unknown) for token in part), np.int32, len(part))
        for part in parts
    )
    return Corpus(name, train, validation, test, tuple(vocabulary), window)
