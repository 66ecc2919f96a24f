"""The notebooks run from top to bottom, and are kept without outputs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.chdir(FOLDER)
    for name in ("inner_rules", "wrapper_plain"):  # the gallery puts bugs into these
        monkeypatch.setitem(sys.modules, name, None)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with pyplot.rc_context():
        for number, cell in enumerate(cells(notebook)):
            if cell["cell_type"] == "code":
                source = "".join(cell["source"])
                exec(compile(source, f"{notebook.name}, cell {number}", "exec"), namespace)
    pyplot.close("all")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook: Path) -> None:
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


def test_the_gallery_shows_every_bug_once() -> None:
    from lookahead_ref.conformance.bugs import BUGS

    text = "".join("".join(cell["source"]) for cell in cells(FOLDER / "bug-gallery.ipynb"))
    for bug in BUGS:
        assert text.count(f'"{bug.name}"') == 1, bug.name
