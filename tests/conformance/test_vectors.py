"""The vector files: what the index says, what the schemas say, and built anew the same."""

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from lookahead_ref.conformance import (
    VectorFileError,
    cases,
    decode,
    generate,
    load,
    model_cases,
    optimizer_cases,
    vectors,
)
from lookahead_ref.conformance.models import FILES as PLANNED_MODELS
from lookahead_ref.conformance.vectors import (
    changelog,
    changes,
    digests,
    make_archive,
    released,
)

FOLDER = Path(generate.__file__).parent / "vectors"
PATHS = sorted(p for p in FOLDER.rglob("*.json") if not p.name.endswith("schema.json"))
FILES = [path.relative_to(FOLDER).as_posix() for path in PATHS]
FOLDERS = pytest.mark.parametrize(
    "folder", [FOLDER, FOLDER / "models"], ids=["optimizers", "models"]
)


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def validator(folder: Path, kind: str) -> Any:
    schema = read(folder / f"{kind}.schema.json")
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("steps", ["last", pytest.param("all", marks=pytest.mark.slow)])
@FOLDERS
def test_every_file_follows_its_schema(folder: Path, steps: str) -> None:
    validator(folder, "index").validate(read(folder / "index.json"))
    check = validator(folder, "cases")
    for path in PATHS:
        if path.parent == folder and path.name != "index.json":
            data = read(path)
            for case in data["cases"] if steps == "last" else []:
                for outcome in case.get("outcomes", []):
                    outcome["steps"] = outcome["steps"][-1:]
            check.validate(data)


@FOLDERS
def test_a_schema_refuses_what_it_should(folder: Path) -> None:
    data = read(folder / read(folder / "index.json")["files"][0]["file"])
    data["cases"][0]["params"][0]["values"][0] = "0.5"
    assert not validator(folder, "cases").is_valid(data)


@FOLDERS
def test_the_index_lists_all_files(folder: Path) -> None:
    index = read(folder / "index.json")
    there = {p.name for p in PATHS if p.parent == folder} - {"index.json"}
    assert {entry["file"] for entry in index["files"]} == there


def test_all_files_are_below_5_mb_and_the_smoke_file_has_five_cases() -> None:
    assert sum(path.stat().st_size for path in PATHS) < 5e6
    assert len(read(FOLDER / "smoke.json")["cases"]) == 5


def test_ids_are_unique_and_none_is_retired() -> None:
    ids = [case.id for case in (*cases(), *model_cases())]
    assert len(set(ids)) == len(ids)
    index = read(FOLDER / "index.json")
    assert not set(ids) & set(index["retired"])
    assert index["cases"] == len(cases())


def test_every_value_is_exact_in_float32() -> None:
    for case in (*cases(), *model_cases()):
        for tensor in case.data["params"]:
            values = decode(tensor["values"])
            assert (values.astype("float32") == values).all(), case.id


def test_every_flag_outcome_and_profile_is_explained() -> None:
    index = read(FOLDER / "index.json")
    flags = {flag["name"] for flag in index["flags"]}
    outcomes = {variant["name"] for variant in index["variants"]} | {"reference"}
    assert flags >= {flag for case in cases() for flag in case.flags}
    assert outcomes >= {each.name for case in cases() for each in case.outcomes}
    models = read(FOLDER / "models/index.json")
    for message, found in ((index, cases()), (models, model_cases())):
        assert {each["name"] for each in message["profiles"]} == {c.profile for c in found}


def test_every_bug_is_shown_by_a_case_and_by_far() -> None:
    shown = Counter(flag for case in cases() for flag in case.flags)
    for flag in read(FOLDER / "index.json")["flags"]:
        if flag["kind"] == "condition":
            continue
        assert flag["cases"] == shown[flag["name"]] >= 1
        for levels in flag["margin"].values():
            for least, median, largest in levels.values():
                assert generate.VISIBLE <= least <= median <= largest


def test_gradients_have_ordinary_sizes_unless_a_flag_says_so() -> None:
    for case in cases():
        problem, extreme = case.data["problem"], {"subnormal", "overflow", "not-a-number"}
        if problem["kind"] == "tape" and not extreme & set(case.flags):
            given = [t for grads in problem["gradients"] for t in grads if t is not None]
            sizes = np.abs(decode([bits for tensor in given for bits in tensor]))
            assert ((sizes == 0) | ((sizes >= 1e-16) & (sizes <= 1e18))).all(), case.id


@pytest.mark.slow
def test_everything_is_built_anew_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    assert sorted(generate.write(tmp_path)) == sorted([*FILES, "gone.json"])
    built = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")]
    assert sorted(built) == FILES
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_a_few_cases_are_built_anew_the_same() -> None:
    smoke, mlp = read(FOLDER / "smoke.json"), read(FOLDER / "models/mlp.json")
    for built, kept in zip(optimizer_cases.FILES["smoke"](), smoke["cases"], strict=True):
        generate.complete(built)
        assert built == kept
    assert generate.complete_model(next(PLANNED_MODELS["mlp"]())) == mlp["cases"][0]


# Files that cannot be trusted.


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    def copy(folder: Path) -> Path:
        for path in PATHS:
            if path.parent == folder:
                (tmp_path / path.name).write_bytes(path.read_bytes())
        return tmp_path

    return copy


@pytest.mark.parametrize(
    ("folder", "name", "version", "reader"),
    [
        (FOLDER, "smoke.json", 2, load),
        (FOLDER / "models", "mlp.json", 1, lambda folder: model_cases(folder=folder)),
    ],
)
def test_files_that_cannot_be_trusted_are_refused_by_name(
    copied: Any, folder: Path, name: str, version: int, reader: Callable[[Path], Any]
) -> None:
    place = copied(folder)
    path = place / name
    whole = path.read_bytes()
    later = whole.replace(f'"version": {version}'.encode(), b'"version": 7', 1)
    for content, message in (
        (whole[: len(whole) // 2], r"is not JSON \(is it truncated\?\)"),
        (b"[" * 100_000, r"is not JSON \(is it truncated\?\)"),
        (whole.replace(b"3f", b"3e", 1), "is not the file that index"),
        (later, f"has version 7; this reader knows version {version}"),
        (whole.replace(b"lookahead-", b"other-", 1), "must be of the format"),
    ):
        path.write_bytes(content)
        with pytest.raises(VectorFileError, match=f"{name} {message}"):
            reader(place)
    path.unlink()
    with pytest.raises(VectorFileError, match=f"{name} cannot be read"):
        reader(place)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"files": 3}, "follow .*not iterable"),
        ({"files": [{"file": "smoke.json"}]}, "follow .*'cases'"),
        ({"files": [{"file": "../a.json", "cases": 1, "sha256": ""}]}, "follow .*no file"),
        ({"profiles": [3]}, "follow .*not subscriptable"),
        ({"version": 7}, "has version 7"),
    ],
)
def test_an_index_that_lists_no_files_is_refused(
    copied: Any, change: dict[str, Any], says: str
) -> None:
    place = copied(FOLDER)
    index = {**read(FOLDER / "index.json"), **change}
    (place / "index.json").write_text(json.dumps(index))
    with pytest.raises(VectorFileError, match=rf"index\.json .*{says}"):
        load(place)


@pytest.mark.parametrize("listed", [cases, model_cases])
def test_an_unknown_profile_is_refused_with_the_known_ones(listed: Any) -> None:
    with pytest.raises(ValueError, match=r"profile must be one of .*, got 'mlp'"):
        listed("mlp")


# Releases.


def test_the_vectors_are_those_of_the_last_release() -> None:
    assert not any(changes(released()[-1], digests(cases())).values())


def test_the_archive_has_no_times_and_can_be_used_alone(tmp_path: Path) -> None:
    archive = make_archive(tmp_path)
    name = f"lookahead-vectors-{len(released())}"
    assert archive.name == f"{name}.tar.gz"
    assert archive.read_bytes()[4:8] == bytes(4)  # where gzip has the time
    with tarfile.open(archive) as opened:
        entries = opened.getmembers()
        assert {(each.mtime, each.uid, each.uname) for each in entries} == {(0, 0, "")}
        assert [each.name for each in entries] == sorted(each.name for each in entries)
        opened.extraction_filter = getattr(tarfile, "data_filter", None)
        opened.extractall(tmp_path)
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
    with pytest.raises(ValueError, match="3 cases differ from release 1: --record"):
        make_archive(tmp_path)
    text = changelog([before, old])
    assert f"Added: {gone}." in text
    assert f"Changed: {other}." in text
    assert "Withdrawn: withdrawn-case." in text
    assert text.index("Release 2") < text.index("Release 1")


def test_a_digest_covers_everything_in_a_case() -> None:
    case = cases()[0]
    changed = type(case)({**json.loads(json.dumps(case.data)), "comment": "another"})
    assert digests([case]) != digests([changed])
