"""The page about GPUs is what the script writes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import device
import lookahead_ref as la
from lookahead_ref.backend import load


def test_the_page_is_as_the_script_writes_it() -> None:
    text = device.PAGE.read_text()
    date = re.search(r"on (\d{4}-\d\d-\d\d);", text)
    assert date is not None
    assert text.startswith(device.HEAD.format(date=date[1]))
    if "No GPU could be had" in text:
        assert text == device.none(date[1])
    else:
        assert "## Tests" in text
        assert "GB/s" in text


def test_where_there_is_no_device_the_page_says_so_and_has_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(name: str) -> Any:
        raise la.BackendUnavailableError("there is none")

    monkeypatch.setattr(device, "load", unavailable)
    page = tmp_path / "gpu.md"
    assert device.main(["--output", str(page)]) == 0
    text = page.read_text()
    assert "nothing is claimed of a GPU" in text
    assert not re.search(r"\d (ms|GB)", text)


def test_traffic_is_what_kernels_read_and_write() -> None:
    # Params and gradient are read, params are written; at the end of a cycle the slow
    # weights are read and written too.
    backend: Any = load("numba")
    traffic = device.Traffic(backend)
    params = {"x": np.zeros(1000, np.float32)}
    stepper = la.Stepper(la.Lookahead(la.SGD(0.1), k=2), params, backend=backend)
    stepper.step(params)
    assert traffic.bytes == 3 * 4000
    stepper.step(params)
    assert traffic.bytes == (3 + 5) * 4000


def test_a_table_has_a_row_for_each() -> None:
    assert device.table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
