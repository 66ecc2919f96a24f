"""The harnesses in other languages: built and run as their first lines say."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from conformance.running import named, statuses, taken

from lookahead_ref.conformance import cases, generate
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.running import open_target

EXAMPLES = Path(__file__).parents[2] / "docs" / "conformance" / "examples"
VECTORS = Path(generate.__file__).parent / "vectors"
FILES = sorted(VECTORS.glob("*.json"))  # the index and the schemas are passed over


class Language(NamedTuple):
    """A harness, the tool it needs, how it starts, and a line with a mistake to make."""

    source: str
    tool: str
    starts: str
    right: str
    wrong: str
    mistake: str = "alpha-swapped"


LANGUAGES = [
    Language(
        "lookahead.js",
        "node",
        "node {folder}/lookahead.js",
        "r(at(table, level.syncs))",
        "r(1 - at(table, level.syncs))",
    ),
    Language(
        "lookahead.c", "cc", "{folder}/lookahead", "alpha = r(at(", "alpha = r(1 - at("
    ),
    Language(
        "lookahead.rs",
        "rustc",
        "{folder}/lookahead",
        "config.r(at(alpha,",
        "config.r(1.0 - at(alpha,",
    ),
    Language(
        "lookahead.R",
        "Rscript",
        "Rscript --vanilla {folder}/lookahead.R",
        "if (is.array(x)) aperm(x) else x",
        "x",
        "shown-column-by-column",
    ),
    Language(
        "lookahead.m",
        "octave-cli",
        "octave-cli --quiet --norc {folder}/lookahead.m",
        "x = permute(x, ndims(x):-1:1);\n",
        "\n",
        "shown-column-by-column",
    ),
    Language(
        "lookahead.f90",
        "gfortran",
        "{folder}/lookahead",
        "values = turned(values, columns(i), rows(i))\n",
        "\n",
        "shown-column-by-column",
    ),
    Language(
        "Lookahead.java",
        "javac",
        "java -cp {folder} Lookahead",
        "x[0][0] = phi.clone()",
        "x[0][0] = phi",
        "theta-becomes-phi",
    ),
]


def build(language: Language, folder: Path) -> list[str]:
    """Build the harness in a folder, and return the command that starts it."""
    if shutil.which(language.tool) is None:
        pytest.skip(f"needs {language.tool}")
    said = (folder / language.source).read_text().splitlines()[:8]
    commands = [re.sub(r"^\W+", "", line).split("  ")[0] for line in said]
    for command in commands:
        if command.startswith(("cc ", "rustc ", "gfortran ", "javac ")):
            subprocess.run(command.split(), cwd=folder, check=True)
    return [part.format(folder=folder) for part in language.starts.split()]


def copied(folder: Path) -> Path:
    for path in EXAMPLES.iterdir():
        shutil.copy(path, folder)
    return folder


@pytest.fixture(params=LANGUAGES, ids=lambda each: each.tool, scope="module")
def language(request: pytest.FixtureRequest) -> Language:
    chosen: Language = request.param
    return chosen


@pytest.fixture(scope="module")
def command(language: Language, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return build(language, copied(tmp_path_factory.mktemp("harness")))


def record(command: Sequence[str], files: Sequence[Path], folder: Path) -> Path:
    recording = folder / "run.jsonl"
    with recording.open("wb") as out:
        subprocess.run([*command, *map(str, files)], stdout=out, check=True)
    return recording


def test_it_passes_what_one_process_can_show_by_reading_the_vectors_alone(
    command: list[str], tmp_path: Path
) -> None:
    recording = record(command, FILES, tmp_path)
    results = taken(open_target(recorded=recording), cases())
    left_out = [r.case.id for r in results if r.status == "unsupported"]
    saved = [case for case in cases() if case.save_after is not None]
    assert left_out == [case.id for case in saved for _ in case.dtypes]
    assert statuses(results) == {"passed", "unsupported"}


def test_it_passes_over_the_wire_and_resumes_in_a_new_process(
    command: list[str],
) -> None:
    target = open_target(command=shlex.join(command))
    asked = ("resume", "evaluation", "outer", "workers")  # the rest is recorded
    chosen = [case for profile in asked for case in cases(profile)]
    assert statuses(taken(target, chosen)) == {"passed"}


def test_a_mistake_in_it_is_found_and_named(language: Language, tmp_path: Path) -> None:
    source = copied(tmp_path) / language.source
    text = source.read_text()
    assert text.count(language.right) == 1
    source.write_text(text.replace(language.right, language.wrong))
    target = open_target(command=shlex.join(build(language, tmp_path)))
    results = taken(target, cases("wrapper"))
    assert "departed" in statuses(results)
    (diagnosis,) = diagnose(results)
    assert named(diagnosis.explanations) == {frozenset({language.mistake})}
