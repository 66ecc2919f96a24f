"""Texts by words and by characters, and their vocabularies."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref.data import Corpus, DataFileError, load, load_ptb, load_pydoc, load_text

Read = Callable[..., Corpus]

PTB = {
    "train": " the cat <unk> the mat \n no it was n't \n the end \n",
    "valid": " the dog was <unk> \n",
    "test": " no end \n",
}


def write_ptb(folder: Path, **changed: str) -> None:
    for part, text in {**PTB, **changed}.items():
        (folder / f"ptb.{part}.txt").write_text(text, encoding="utf-8", newline="")


def spelled(corpus: Corpus, tokens: np.ndarray, between: str = " ") -> str:
    return between.join(corpus.vocabulary[token] for token in tokens)


def parts(corpus: Corpus) -> list[np.ndarray]:
    return [corpus.train, corpus.validation, corpus.test]


def characters_of(corpus: Corpus) -> str:
    return spelled(corpus, np.concatenate(parts(corpus)), "")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Reads what a file holds."""
    path = tmp_path_factory.mktemp("texts") / "letters.txt"

    def write_and_load(content: str | bytes, unit: Any = "words") -> Corpus:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_text(path, unit=unit)

    return write_and_load


def test_penn_treebank_is_its_words_with_the_ends_of_lines(tmp_path: Path) -> None:
    write_ptb(tmp_path)
    corpus = load(f"ptb:{tmp_path}")
    assert (corpus.name, corpus.window) == ("ptb", 35)
    words = "the cat <unk> the mat <eos> no it was n't <eos> the end <eos>"
    assert spelled(corpus, corpus.train) == words
    # "dog" is not in the training text.
    assert spelled(corpus, corpus.validation) == "the <unk> was <unk> <eos>"
    assert spelled(corpus, corpus.test) == "no end <eos>"
    assert all(tokens.dtype == np.int32 for tokens in parts(corpus))
    # From frequent to rare, and then by spelling.
    assert " ".join(corpus.vocabulary) == "<eos> the <unk> cat end it mat n't no was"


def test_a_text_is_cut_at_nine_tenths_and_nineteen_twentieths(read: Read) -> None:
    corpus = read("ab" * 50, "characters")
    assert (corpus.name, corpus.vocabulary, corpus.window) == ("letters", ("a", "b"), 100)
    assert [len(part) for part in parts(corpus)] == [90, 5, 5]
    assert characters_of(corpus) == "ab" * 50


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False], ids=["a last newline", "none"])
def test_all_line_ends_are_equivalent(read: Read, newline: str, last: bool) -> None:
    text = newline.join(f"w{number} x" for number in range(30)) + newline * last
    corpus = read(text)
    assert sum(map(len, parts(corpus))) == 90
    assert spelled(corpus, corpus.test[-3:]) == "<unk> x <eos>"
    assert "\r" not in read(text, "characters").vocabulary


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_a_byte_order_mark_is_no_part_of_a_text(read: Read, unit: Any) -> None:
    text = "the cat\n" * 20
    assert read(text.encode("utf-8-sig"), unit).vocabulary == read(text, unit).vocabulary


def test_only_words_that_training_lacks_are_unknown(read: Read) -> None:
    corpus = read("a b\n" * 20 + "new word\n")
    assert corpus.vocabulary == ("<eos>", "a", "b", "<unk>")
    assert spelled(corpus, corpus.test) == "<unk> <unk> <eos>"
    assert read("a b\n" * 20).vocabulary == ("<eos>", "a", "b")


def test_the_most_frequent_words_are_kept(read: Read) -> None:
    rare = " ".join(f"rare{number}" for number in range(12_000))
    corpus = read("often more\n" * 100 + rare)
    assert len(corpus.vocabulary) == 10_000
    assert corpus.vocabulary[:3] == ("<eos>", "more", "often")
    assert corpus.vocabulary[-1] == "<unk>"
    # The last words, rare ones all, and the end of their line.
    assert (corpus.test[:-1] == 9_999).all()
    assert corpus.test[-1] == 0


def test_a_rare_word_for_the_unknown_is_also_kept(read: Read) -> None:
    rare = " ".join(f"rare{number} rare{number}" for number in range(10_000))
    new = " ".join(f"new{number}" for number in range(5000))
    corpus = read(f"<unk>\n{rare}\n{new}\n")
    assert len(corpus.vocabulary) == 10_000
    assert spelled(corpus, corpus.test[:1]) == "<unk>"


@given(st.text(st.sampled_from("aäß🎲 \n"), min_size=40, max_size=200).filter(str.strip))
def test_characters_come_back(read: Read, text: str) -> None:
    corpus = read(text, "characters")
    known = set(text[: len(corpus.train)])
    wanted = [letter if letter in known else "<unk>" for letter in text]
    assert characters_of(corpus) == "".join(wanted)


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", (None, None), "no words in it"),
        (b" \n\t\n", (None, None), "no words in it, only white space"),
        (b"one two\nthree\xff\n", (13, 2), "byte ff is not UTF-8"),
        (b"x" * 100 + b"\n\xe4\xb8", (101, 2), "byte e4 is not UTF-8"),
        (b"too few\n", (None, None), "3 words in it, expected at least 40"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_with_its_line(
    read: Read, content: bytes, place: tuple[int | None, int | None], message: str
) -> None:
    with pytest.raises(DataFileError, match=message) as caught:
        read(content)
    assert caught.value.path.name == "letters.txt"
    assert (caught.value.offset, caught.value.line) == place


def test_each_file_of_the_treebank_must_be_there_and_have_words(tmp_path: Path) -> None:
    write_ptb(tmp_path, test=" \n \n")
    with pytest.raises(DataFileError, match=r"ptb.test.txt: no words in it"):
        load_ptb(tmp_path)
    (tmp_path / "ptb.valid.txt").unlink()
    with pytest.raises(DataFileError, match=r"ptb.valid.txt not in it"):
        load_ptb(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (os.mkdir, "it is no regular file"),
        (os.mkfifo, "it is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
        # A file that is all holes.
        (lambda path: path.touch() or os.truncate(path, 2**40), "1099511627776 bytes, m"),
    ],
)
def test_only_regular_files_are_opened(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "ptb.train.txt"
    make(path)
    for data in (f"text:{path}", f"chars:{path}"):
        with pytest.raises(DataFileError, match=message) as caught:
            load(data)
        assert caught.value.path == path


def test_a_tilde_behind_the_colon_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "letters.txt").write_text("word " * 50)
    assert load("text:~/letters.txt").name == "letters"
    with pytest.raises(DataFileError, match=r"^~nobody-has-this-name/x: no such file"):
        load("text:~nobody-has-this-name/x")


def test_python_s_own_topics_are_a_text_of_thousands_of_words() -> None:
    corpus = load("pydoc")
    assert corpus.name == "pydoc"
    assert len(corpus.train) > 50_000
    assert 1000 < len(corpus.vocabulary) <= 10_000
    assert spelled(corpus, corpus.train[:4]) == 'The "assert" statement <eos>'
    characters = load_pydoc(unit="characters")
    assert (characters.name, characters.window) == ("pydoc", 100)
    assert len(characters.vocabulary) < 300
