"""For any file, a reader returns data or raises a documented error."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import cifar_records, digit_like, encoded, idx
from lookahead_ref.data import DataFileError, load, load_text, read_idx
from lookahead_ref.data.folders import PictureFiles

PIXELS, LABELS = digit_like(12, 0, (5, 4))
LARGE_PIXELS, LARGE_LABELS = digit_like(20, 0, (3, 32, 32))
PICTURE = LARGE_PIXELS[0].transpose(1, 2, 0)


def read_pictures(path: Path) -> None:
    PictureFiles((str(path),), np.array([0]), resize=8, crop=8).take(np.array([0]))


def copied(data: str, *names: str) -> Callable[[Path], object]:
    """Read a data set whose files, by their names, all hold the same."""

    def read(path: Path) -> object:
        for name in names:
            (path.parent / name).write_bytes(path.read_bytes())
        return load(f"{data}:{path.parent}")

    return read


READERS: dict[str, tuple[Callable[[Path], object], list[bytes]]] = {
    "idx": (read_idx, [idx(PIXELS), idx(LABELS), gzip.compress(idx(PIXELS))]),
    "mnist": (
        copied("mnist", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        [idx(PIXELS), idx(LABELS)],
    ),
    "cifar": (
        copied("cifar100", "train.bin", "test.bin"),
        [cifar_records(np.stack([LARGE_LABELS, LARGE_LABELS], axis=1), LARGE_PIXELS)],
    ),
    "words": (load_text, [b"Es war einmal\nund ist nicht mehr.\n" * 9]),
    "characters": (
        lambda path: load_text(path, unit="characters"),
        ["Es wär einmal\nund ist nicht mehr.\n".encode() * 9],
    ),
    "pictures": (
        read_pictures,
        [encoded(kind, PICTURE) for kind in ("BMP", "JPEG", "PNG", "PPM", "WEBP")],
    ),
}


@st.composite
def mutations(draw: st.DrawFn, valid: list[bytes]) -> bytes:
    """A valid file with some bytes changed, put in, or left out, or cut."""
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 4))):
        # Headers are where most can go wrong.
        at = draw(st.integers(0, 40) | st.integers(0, len(content)))
        new = draw(
            st.binary(max_size=4) | st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f" * 8])
        )
        content[at : at + draw(st.integers(0, 8))] = new
    return bytes(content[: draw(st.integers(0, len(content)) | st.just(len(content)))])


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_any_file_gives_data_or_a_documented_error(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read, valid = READERS[name]
    content = data.draw(st.binary(max_size=200) | mutations(valid))
    folder = tmp_path_factory.getbasetemp() / f"fuzz-{name}"
    folder.mkdir(exist_ok=True)
    path = folder / "file"
    path.write_bytes(content)
    error: ValueError | None = None
    try:
        read(path)
    except ValueError as caught:
        error = caught
    if isinstance(error, DataFileError):
        assert folder in (error.path, error.path.parent)
        assert str(error).startswith(str(error.path))
    elif error is not None:
        # A file can be right and hold too little to split.
        assert "validation" in str(error)
