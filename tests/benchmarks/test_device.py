"""The page about GPUs is what the script writes."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import TINY_DEVICE

import device
import functions
import lookahead_ref as la
from lookahead_ref.bench import suite
from lookahead_ref.bench.place import Place


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

    monkeypatch.setattr(device, "find", unavailable)
    page = tmp_path / "gpu.md"
    assert device.main(["--output", str(page)]) == 0
    text = page.read_text()
    assert "nothing is claimed of a GPU" in text
    assert not re.search(r"\d (ms|GB)", text)


def test_the_page_lists_what_the_tests_know_to_be_missing() -> None:
    assert set(device.MISSING) == set(functions.MISSING)
    listed = re.findall(r"^- `?([a-z_ ]+)`?$", device.missing(), re.MULTILINE)
    assert set(listed) == set(functions.MISSING)
    assert device.missing() in device.PAGE.read_text()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little to measure, and no tests to run again."""
    for name in ("torch", "jax", "optax"):
        monkeypatch.setitem(sys.modules, name, None)
    for name, value in {"HIDDEN": 8, "VOCABULARY": 11, "STEPS": 3, "BATCH": 2}.items():
        monkeypatch.setattr(device, name, value)
    monkeypatch.setattr(suite, "DEVICE", TINY_DEVICE)
    monkeypatch.setattr(device, "tested", lambda: (True, "## Tests\n"))
    monkeypatch.setattr(device, "setting", lambda backend: "")


def test_where_there_is_a_device_the_page_holds_every_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    # The page is written in the same way on any device; this one is none.
    backend: Any = la.backend.load("numba")
    place = Place(backend, on_device=True)
    monkeypatch.setattr(device, "find", lambda name: place)
    page = tmp_path / "gpu.md"
    assert device.main(["--output", str(page)]) == 0
    text = page.read_text()
    for title in (
        "What Lookahead adds",
        "Beside what memory allows",
        "Peak memory",
        "Growth",
        "A language model: two layers of 8 units",
        "What is not differentiated on a device",
    ):
        assert text.count(f"## {title}\n") == 1
    # A step and the cost of a call have times alone where there is nothing beside them.
    assert "| 1000 | adam | Stepper, numba |" in text
    assert "| tiny | Lookahead of adam | Stepper, numba |" in text
    assert "that of the library's copy" in text
    assert device.FAILED not in text


def test_what_cannot_be_measured_is_told_and_loses_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    backend: Any = la.backend.load("numba")

    def broken(run: Any) -> int:
        raise MemoryError("there is none left")

    place = Place(backend, peak=broken, on_device=True)
    monkeypatch.setattr(device, "find", lambda name: place)
    page = tmp_path / "gpu.md"
    assert device.main(["--output", str(page), "--count", "500"]) == 1
    text = page.read_text()
    assert f"{device.FAILED} `memory`: `MemoryError: there is none left`" in text
    assert "## Growth" in text
    assert "| 500 | sgd |" in text


def test_pytorch_s_language_model_does_forward_and_backward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    for name, value in {"HIDDEN": 8, "VOCABULARY": 11, "STEPS": 3, "BATCH": 2}.items():
        monkeypatch.setattr(device, name, value)
    tokens = np.zeros((4, 2), np.int64)
    enabled = torch.backends.cudnn.enabled
    device.theirs(tokens, "cpu")()
    assert torch.backends.cudnn.enabled == enabled
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ImportError):
        device.theirs(tokens)


def test_a_table_has_a_row_for_each() -> None:
    assert device.table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
