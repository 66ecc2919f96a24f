"""What strangers meet first: README, addresses, packages."""

import json
import re
import runpy
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from lookahead_ref.conformance import cases

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOOR = runpy.run_path(str(ROOT / "docs" / "front_door.py"))
LINKS = re.compile(r'\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"')


def links(text: str) -> list[str]:
    return [one or other for one, other in LINKS.findall(text)]


def test_readmes_links_lead_somewhere_here_and_on_pypi() -> None:
    beside = [
        each for each in links(README) if not each.startswith(("http", "#", "../../"))
    ]
    assert [each for each in beside if not (ROOT / each.partition("#")[0]).exists()] == []
    shown = links(runpy.run_path(str(ROOT / "setup.py"))["readme"]())
    assert len(shown) == len(links(README))
    assert [each for each in shown if not each.startswith(("https://", "#"))] == []


def test_readmes_table_is_that_of_the_survey_and_its_links_are_those_of_the_site() -> None:
    assert DOOR["fill"](README, survey=DOOR["table"](), play=DOOR["play"]()) == README
    assert f"$ lookahead-ref conform {' '.join(DOOR['ASKED'])}\n" in README


def test_the_picture_has_a_dot_for_each_seed() -> None:
    runs = [{"history": [{"train_loss": loss}]} for loss in (0.1, 0.2, 0.4)]
    titles = ("SGD, learning rate 0.1", "Lookahead, learning rate 0.1", "SGD, momentum 0.9")
    arms = [{"title": title, "runs": runs} for title in titles]
    _, *panels = DOOR["picture"]({"arms": arms}, "dark").axes
    dots = [[len(each.get_offsets()) for each in panel.collections] for panel in panels]
    assert dots == [[3, 3], [3]]


def test_the_losses_in_readme_are_computed() -> None:
    def arm(title: str, *losses: float) -> dict[str, object]:
        ends = [{"train_loss": loss, "validation_accuracy": 1 - loss} for loss in losses]
        return {"title": title, "runs": [{"history": [end]} for end in ends]}

    alone = ("learning rate 0.05", "learning rate 0.1", "momentum 0.8", "learning rate 0.4")
    arms = [arm(f"SGD, {each}", 0.01, 0.02, 0.6) for each in alone]
    arms += [arm(f"Lookahead, {each}", 0.03, 0.03, 0.03) for each in alone[1:]]
    arms += [arm(f"Lookahead, {alone[0]}", 0.01, 0.05, 0.07)]
    said = DOOR["seen"]({"arms": arms}).replace("\n", " ")
    assert "1 of 3 runs of SGD fail (they stay below 50 %" in said
    assert "validation accuracy), and 0 of Lookahead's" in said
    assert "1.5 to 2.5 times as high" in said
    assert said.partition(". ")[2][:40] in README.replace("\n", " ")


def test_the_owners_address_is_to_be_written_in_one_place_only() -> None:
    suffixes = {".py", ".toml", ".yml", ".md", ".json", ".cff", ".rs", ".js", ""}
    found = {
        path.relative_to(ROOT).as_posix()
        for top in (".ci", ".github", "backends", "lookahead_ref", "packages", ".")
        for path in (ROOT / top).glob("*" if top == "." else "**/*")
        if path.is_file() and path.suffix in suffixes
        if path.name not in (".git", "PKG-INFO")  # the latter is of a source distribution
        if "OWNER/" in path.read_text(encoding="utf-8", errors="replace")
    }
    # The pages have it filled in by docs/_ext/addresses.py.
    assert found == {"pyproject.toml"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packages")
    runpy.run_path(str(ROOT / "packages" / "make.py"))["make"](out)
    return out


def ran(folder: Path, *command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_for_npm_holds_every_case(packages: Path, tmp_path: Path) -> None:
    archive = ran(packages, "npm", "pack", "./npm", "--silent").strip()
    place = tmp_path / "node_modules" / "lookahead-golden-vectors"
    place.mkdir(parents=True)
    with tarfile.open(packages / archive) as opened:
        opened.extraction_filter = getattr(tarfile, "data_filter", None)
        opened.extractall(tmp_path)
    (tmp_path / "package").replace(place)
    script = (
        "const v = require('lookahead-golden-vectors');"
        "const one = v.cases('wrapper')[0].outcomes[0].steps[0].fast.expected[0];"
        "console.log(JSON.stringify([v.cases().map((each) => each.id), one.map(v.fromBits),"
        " require('lookahead-golden-vectors/vectors/models/mlp.json').cases.length > 0]))"
    )
    ids, first, models = json.loads(ran(tmp_path, "node", "-e", script))
    assert ids == [case.id for case in cases()]
    assert first == cases("wrapper")[0].outcomes[0].fast.values[0].tolist()
    assert models


def test_the_crate_compiles_and_its_example_holds(packages: Path) -> None:
    said = ran(packages / "crates", "cargo", "test", "--offline", "--quiet")
    assert "1 passed" in said
