"""The vector files: what the index says, what the schemas say, and built anew the same."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lookahead_ref.conformance import VectorFileError, cases, decode, generate, load

FOLDER = Path(generate.__file__).parent / "vectors"
FILES = sorted(p.name for p in FOLDER.glob("*.json") if not p.name.endswith("schema.json"))
CASES = [name.removesuffix(".json") for name in FILES if name != "index.json"]


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_bytes())


@pytest.mark.parametrize("name", ["index", *CASES])
def test_every_file_follows_its_schema(name: str) -> None:
    kind = "index" if name == "index" else "cases"
    schema = read(f"{kind}.schema.json")
    validator: Any = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    assert validator is jsonschema.Draft7Validator
    validator(schema).validate(read(f"{name}.json"))


def test_a_schema_refuses_what_it_should() -> None:
    validator = jsonschema.Draft7Validator(read("cases.schema.json"))
    data = read("smoke.json")
    data["cases"][0]["params"][0]["values"][0] = "0.5"
    assert not validator.is_valid(data)


def test_the_index_lists_all_files_with_their_sums() -> None:
    index = read("index.json")
    assert sorted(entry["file"] for entry in index["files"]) == [f"{n}.json" for n in CASES]
    for entry in index["files"]:
        content = (FOLDER / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert index["cases"] == len(cases())


def test_all_files_are_below_5_mb_and_the_smoke_file_has_five_cases() -> None:
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 5e6
    assert len(read("smoke.json")["cases"]) == 5


def test_ids_are_unique_and_none_is_retired() -> None:
    ids = [case.id for case in cases()]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(read("index.json")["retired"])


def test_every_value_is_exact_in_float32() -> None:
    for case in cases():
        for tensor in case.data["params"]:
            values = decode(tensor["values"])
            assert (values.astype("float32") == values).all(), case.id


def test_every_flag_and_outcome_is_explained() -> None:
    index = read("index.json")
    flags = {flag["name"] for flag in index["flags"]}
    outcomes = {variant["name"] for variant in index["variants"]} | {"reference"}
    profiles = {profile["name"] for profile in index["profiles"]}
    assert flags >= {flag for case in cases() for flag in case.flags}
    assert outcomes >= {each.name for case in cases() for each in case.outcomes}
    assert profiles == {case.profile for case in cases()}


def test_every_bug_is_shown_by_a_case_and_by_far() -> None:
    shown = Counter(flag for case in cases() for flag in case.flags)
    for flag in load().index["flags"]:
        if flag["kind"] == "condition":
            continue
        assert flag["cases"] == shown[flag["name"]] >= 1
        for levels in flag["margin"].values():
            for least, median, largest in levels.values():
                assert generate.VISIBLE <= least <= median <= largest


def test_everything_is_built_anew_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    assert sorted(generate.write(tmp_path)) == sorted([*FILES, "gone.json"])
    assert {p.name for p in tmp_path.iterdir()} == set(FILES)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    return tmp_path


def test_files_that_cannot_be_trusted_are_refused_by_name(copy: Path) -> None:
    path, whole = copy / "smoke.json", (copy / "smoke.json").read_bytes()

    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VectorFileError, match=r"smoke\.json is not JSON, it may be trunc"):
        load(copy)
    path.write_bytes(whole.replace(b"3f", b"3e", 1))
    with pytest.raises(VectorFileError, match=r"smoke\.json is not the file that index"):
        load(copy)
    path.write_bytes(whole.replace(b'"version": 2', b'"version": 3', 1))
    with pytest.raises(VectorFileError, match=r"smoke\.json has the vector version 3"):
        load(copy)
    path.unlink()
    with pytest.raises(VectorFileError, match=r"smoke\.json cannot be read"):
        load(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"files": 3}, "not iterable"),
        ({"files": [{"file": "smoke.json"}]}, "'cases'"),
        ({"files": [{"file": "../a.json", "cases": 1, "sha256": ""}]}, "no file and numb"),
        ({"profiles": [3]}, "not subscriptable"),
    ],
)
def test_an_index_that_lists_no_files_is_refused(
    copy: Path, change: dict[str, Any], says: str
) -> None:
    (copy / "index.json").write_text(json.dumps({**read("index.json"), **change}))
    with pytest.raises(VectorFileError, match=rf"index\.json does not follow .*{says}"):
        load(copy)


def test_gradients_are_of_ordinary_size_but_where_a_flag_says_so() -> None:
    for case in cases():
        if case.data["problem"]["kind"] == "tape" and not {"subnormal", "overflow"} & set(
            case.flags
        ):
            for gradients in case.data["problem"]["gradients"]:
                sizes = abs(decode([bits for each in gradients for bits in each or []]))
                assert ((sizes == 0) | ((sizes >= 1e-16) & (sizes <= 1e18))).all(), case.id


def test_an_index_of_a_later_version_is_refused(copy: Path) -> None:
    index = {**read("index.json"), "version": 7}
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(VectorFileError, match=r"index\.json has the vector version 7"):
        load(copy)
