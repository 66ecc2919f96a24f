"""The harnesses in other languages: written by ``--init``, built and run as it says."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import chdir, closing
from pathlib import Path
from typing import NamedTuple

import pytest
from conformance.running import TRAINING, assert_trains, conform, named, statuses, taken

from lookahead_ref.cli.conform import STARTS
from lookahead_ref.conformance import cases, generate
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.running import ProgramTarget, open_target
from lookahead_ref.conformance.wire import Wired

FILES = sorted(
    Path(generate.__file__).parent.glob("vectors/*.json")
)  # the index and the schemas are passed over


class Language(NamedTuple):
    """A kind of ``--init``, the tool it needs, and a line with a mistake to make."""

    kind: str
    tool: str
    right: str
    wrong: str
    mistake: str


TURN = "shown-column-by-column"
LANGUAGES = [
    Language("javascript", "node", "steps >= this", "steps > this", "period-plus-one"),
    Language("c", "cc", "*steps(level) < atof", "*steps(level) <= atof", "period-plus-one"),
    Language("rust", "rustc", "steps < config", "steps <= config", "period-plus-one"),
    Language("r", "Rscript", "if (is.array(x)) aperm(x) else x", "x", TURN),
    Language("octave", "octave-cli", "permute(x, ndims(x):-1:1)", "x", TURN),
    Language("fortran", "gfortran", "turned(values, columns(i), rows(i))", "values", TURN),
    Language("java", "javac", "][0] = phi.clone()", "][0] = phi", "theta-becomes-phi"),
]


def begin(language: Language) -> list[list[str]]:
    """Write the harness where we are, and return the commands that are to follow."""
    if shutil.which(language.tool) is None:
        pytest.skip(f"needs {language.tool}")
    said = conform("--init", language.kind).stdout.splitlines()[1:]
    return [shlex.split(line) for line in said]


def build(commands: Sequence[Sequence[str]]) -> str:
    """Build the harness as it was said, and return the command that starts it."""
    *builds, (*conforms, command) = commands
    assert conforms == ["lookahead-ref", "conform", "--command"]
    for each in builds:
        subprocess.run(each, check=True)
    return command


# Compilers and runtimes of other languages take several times as long.
@pytest.fixture(
    params=[
        pytest.param(x, marks=[] if x.kind in ("javascript", "c") else [pytest.mark.slow])
        for x in LANGUAGES
    ],
    ids=[each.kind for each in LANGUAGES],
    scope="module",
)
def language(request: pytest.FixtureRequest) -> Language:
    chosen: Language = request.param
    return chosen


@pytest.fixture(scope="module")
def command(language: Language, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chdir(tmp_path_factory.mktemp("harness")):
        yield build(begin(language))


def test_it_passes_what_one_process_can_show_by_reading_the_vectors_alone(
    command: str, tmp_path: Path
) -> None:
    recording = tmp_path / "run.jsonl"
    with recording.open("wb") as out:
        subprocess.run([*shlex.split(command), *FILES], stdout=out, check=True)
    results = taken(open_target(recorded=recording), cases())
    left_out = [r.case.id for r in results if r.status == "unsupported"]
    saved = [case for case in cases() if case.save_after is not None]
    assert left_out == [case.id for case in saved for _ in case.dtypes]
    assert statuses(results) == {"passed", "unsupported"}


def test_it_passes_over_the_wire_and_resumes_in_a_new_process(command: str) -> None:
    target = open_target(command=command)
    asked = ("resume", "evaluation", "outer", "workers")  # the rest is recorded
    chosen = [case for profile in asked for case in cases(profile)]
    assert statuses(taken(target, chosen)) == {"passed"}


def test_it_trains_over_the_wire_as_the_library_does(command: str) -> None:
    with closing(ProgramTarget(command, shlex.split(command))) as target:
        assert_trains(Wired(target.ask, TRAINING))


def test_a_mistake_in_it_is_found_and_named(
    language: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = begin(language)
    source = Path(STARTS[language.kind]["file"])
    text = source.read_text()
    assert text.count(language.right) == 1
    source.write_text(text.replace(language.right, language.wrong))
    results = taken(open_target(command=build(commands)), cases("wrapper"))
    assert "failed" in statuses(results)
    (diagnosis,) = diagnose(results)
    assert named(diagnosis.explanations) == {frozenset({language.mistake})}
