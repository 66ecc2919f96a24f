"""The archive of the vectors: the same each time, whole, numbered, with its changes."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from lookahead_ref.conformance import cases, load, vectors
from lookahead_ref.conformance.vectors import (
    changelog,
    changes,
    digests,
    make_archive,
    released,
)


def test_the_vectors_are_those_of_the_last_release() -> None:
    assert changes(released()[-1], digests(cases())) == {
        "added": [],
        "changed": [],
        "withdrawn": [],
    }


def test_the_archive_tells_no_time_and_can_be_used_alone(tmp_path: Path) -> None:
    archive = make_archive(tmp_path)
    name = f"lookahead-vectors-{len(released())}"
    assert archive.name == f"{name}.tar.gz"
    assert archive.read_bytes()[4:8] == bytes(4)  # where gzip has the time
    with tarfile.open(archive) as opened:
        entries = opened.getmembers()
        assert {(each.mtime, each.uid, each.uname) for each in entries} == {(0, 0, "")}
        assert [each.name for each in entries] == sorted(each.name for each in entries)
        opened.extractall(tmp_path, filter="data")
    folder = tmp_path / name
    assert [case.id for case in load(folder).cases] == [case.id for case in cases()]
    listed = {}
    for line in (folder / "MANIFEST").read_text().splitlines():
        digest, _, file = line.partition("  ")
        listed[file] = digest
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {*listed, "MANIFEST"}
    assert {"README.md", "CHANGES.md", "cases.schema.json", "models/mlp.json"} <= there


def test_changed_vectors_need_a_number_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = released()[-1]
    gone, other = list(old)[:2]
    before = {"withdrawn-case": "0", **old, other: "0"}
    del before[gone]
    monkeypatch.setattr(vectors, "released", lambda: [before])
    with pytest.raises(ValueError, match="3 cases are not those of release 1: --record"):
        make_archive(tmp_path)
    text = changelog([before, old])
    assert f"Added: {gone}." in text
    assert f"Changed: {other}." in text
    assert "Withdrawn: withdrawn-case." in text
    assert text.index("Release 2") < text.index("Release 1")


def test_a_digest_is_of_all_that_is_written_of_a_case() -> None:
    case = cases()[0]
    changed = type(case)({**json.loads(json.dumps(case.data)), "comment": "another"})
    assert digests([case]) != digests([changed])
