"""Caches, as different systems tell of them."""

from pathlib import Path

import pytest

from lookahead_ref.bench import caches


def test_caches_for_data_are_listed_as_far_as_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [
        ("Unified", "3", "32M"),
        ("Data", "1", "48K"),
        ("Instruction", "1", "32K"),
        ("Unified", "4", "1G"),
        ("Unified", "5", ""),
        ("Unified", "", "64K"),
        ("Unified", "6", "4096"),
        ("Unified", "2"),
        (),
    ]
    for number, values in enumerate(told):
        place = tmp_path / f"index{number}"
        place.mkdir()
        for what, value in zip(("type", "level", "size"), values, strict=False):
            (place / what).write_text(value + "\n")
    monkeypatch.setattr(caches, "_PLACE", tmp_path)
    assert list(caches.caches().items()) == [(1, 48 << 10), (3, 32 << 20), (4, 1 << 30)]
    monkeypatch.setattr(caches, "_PLACE", tmp_path / "nowhere")
    assert caches.caches() == {}
