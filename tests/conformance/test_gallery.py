"""The bug gallery: each named bug as a change of one line, which the suite finds."""

import difflib
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest
from conformance.wrong import results

from lookahead_ref.conformance import cases
from lookahead_ref.conformance.bugs import BUGS
from lookahead_ref.conformance.diagnosis import explain

DOCS = Path(__file__).parents[2] / "docs"
GALLERY = tomllib.loads((DOCS / "notebooks" / "bugs.toml").read_text(encoding="utf-8"))
FILES = ("inner_rules", "wrapper_plain")
SOURCES = {
    name: (DOCS / "porting" / f"{name}.py").read_text(encoding="utf-8") for name in FILES
}


def adapter(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the port with a bug put into it."""
    changes = [GALLERY[name], *filter(None, [GALLERY[name].get("also")])]
    for change in changes:
        assert sum(SOURCES[file].count(change["right"]) for file in FILES) == 1
    for file in FILES:
        source = SOURCES[file]
        for change in changes:
            source = source.replace(change["right"], change["wrong"])
        module = types.ModuleType(file)
        monkeypatch.setitem(sys.modules, file, module)
        exec(compile(source, f"{name}/{file}.py", "exec"), vars(module))
    return module.Adapter  # type: ignore[attr-defined]


def test_the_gallery_has_every_bug_and_no_other() -> None:
    assert list(GALLERY) == [bug.name for bug in BUGS]
    # To keep the wrong slots takes two lines: one at the interpolation, one after it.
    two = [name for name, change in GALLERY.items() if "also" in change]
    assert two == ["interpolated-slots-not-kept"]


@pytest.mark.parametrize("name", GALLERY)
def test_it_is_a_change_of_one_line(name: str) -> None:
    for change in filter(None, [GALLERY[name], GALLERY[name].get("also")]):
        right, wrong = (change[key].splitlines() for key in ("right", "wrong"))
        lines = [each for each in difflib.ndiff(right, wrong) if each[:2] in ("+ ", "- ")]
        assert [line[0] for line in sorted(lines)] == ["+", "-"]


@pytest.mark.parametrize("name", GALLERY)
def test_the_suite_finds_it_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flagged = [case for case in cases() if name in case.flags]
    single = [case for case in flagged if len(case.data["lookahead"]) == 1] or flagged
    chosen = single[:: 1 + len(single) // 12]
    found = results(adapter(name, monkeypatch), chosen, "float64")
    assert {result.status for result in found} == {"departed"}
    assert name in [each.name for one in explain(found).explanations for each in one]
