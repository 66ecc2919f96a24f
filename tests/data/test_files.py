"""IDX files: right ones are read; errors in others have their place."""

import gzip
import math
import pickle
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from formats import idx
from lookahead_ref.data import DataFileError, read_idx
from lookahead_ref.extras import MissingExtraError
from lookahead_ref.stopping import StoppedError
from lookahead_ref.training import NonFiniteLossError

VALID = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))
HUGE = VALID[:3] + bytes([2]) + b"\xff" * 8
PACKED = gzip.compress(idx(np.arange(250, dtype=np.uint8)), mtime=0)


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


@given(
    array=hnp.arrays(
        st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]), hnp.array_shapes(max_dims=4)
    )
)
def test_every_type_and_dimension_comes_back(file: Path, array: np.ndarray) -> None:
    for pack in (bytes, gzip.compress):
        file.write_bytes(pack(idx(array)))
        back = read_idx(file)
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype.newbyteorder(">")
        assert not back.flags.writeable


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "offset", "message"),
    [
        (b"", 0, "0 bytes, no room for IDX's magic number"),
        (VALID[:3], 0, "3 bytes, no room"),
        (b"\0\1" + VALID[2:], 0, "magic number 00010802 is none of IDX"),
        (b"\0\0\7" + VALID[3:], 0, "magic number 00000702"),
        (VALID[:3] + b"\0", 0, "magic number 00000800"),
        (VALID[:3] + b"\xff" * 2000, 0, "magic number 000008ff"),
        (VALID[:10], 10, "cut within the sizes of 2 dimensions"),
        (VALID[:8] + bytes(4), 8, "dimensions 2 by 0 hold nothing"),
        (VALID[:-1], 17, "2 by 3 values of 1 bytes, 18 bytes in all; .* 17$"),
        (VALID[:12], 12, "2 by 3 values of 1 bytes, 18 bytes in all; .* 12$"),
        (VALID + b"x", 18, "2 by 3 values of 1 bytes, 18 bytes in all; (the|it)"),
        (HUGE + bytes(100), None, "4294967295 by 4294967295 values of 1 bytes"),
        (VALID[:2] + b"\x0e\x20" + b"\xff" * 128, None, "of 8 bytes"),
    ],
)
def test_errors_name_their_place_and_nothing_is_allocated(
    tmp_path: Path, pack: Any, content: bytes, offset: int | None, message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(pack(content))
    with little_memory(2**21), pytest.raises(DataFileError, match=message) as caught:
        read_idx(path)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}, offset {caught.value.offset}: ")
    if offset is not None:
        assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PACKED[:2], "the gzip is cut"),
        (PACKED[:40], "the gzip is cut"),
        (PACKED[:-1], "the gzip is cut"),
        (PACKED[:-8] + bytes(8), "the gzip is damaged: CRC check failed"),
        (PACKED[:-4] + bytes(4), "the gzip is damaged"),
        (PACKED[:20] + b"\xff" * 20 + PACKED[40:], "the gzip is damaged"),
        (PACKED + b"rubbish", "the gzip is damaged: Not a gzipped file"),
        (PACKED + PACKED, "258 bytes in all; it goes on"),
    ],
)
def test_a_cut_or_damaged_gzip_is_reported(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        read_idx(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        # True, and the limit is what holds.
        (bytes([0, 0, 8, 1, 2, 0, 0, 0]), "33554440 bytes in all, more than 1000000"),
        (VALID, "18 bytes in all; it goes on"),
    ],
)
def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, header: bytes, message: str) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header + bytes(2**25), compresslevel=1))
    with little_memory(2**21), pytest.raises(DataFileError, match=message):
        read_idx(path, limit=10**6)


@pytest.mark.parametrize(
    "error",
    [
        DataFileError(path=Path("text"), problem="no UTF-8", offset=7, line=2),
        NonFiniteLossError(of="batch", step=3, epoch=1, loss=math.inf, history=()),
        StoppedError(step=4),
        MissingExtraError("numba", "fast", "run"),
    ],
)
def test_an_error_survives_the_way_back_from_a_worker(error: Any) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))
