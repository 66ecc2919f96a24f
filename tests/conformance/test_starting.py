"""First adapters work as written, and explanations are in plain words."""

import json
import re
import runpy
import shlex
import sys
import tomllib
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conformance.running import conform

from commands import refused
from lookahead_ref.cli.conform import STARTS
from lookahead_ref.conformance import cases, load
from lookahead_ref.conformance.vectors import decode

DOCS = Path(__file__).parents[2] / "docs" / "conformance"
ACTION = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "steps.py"))

WRONG = """
from conformance.wrong import program
MyLookahead = program("first-sync-at-step-1", "phi-after-first-step")
Unknown = program("alpha-bent")
Right = program()
Frozen = program("alpha-frozen")


class Stops(Right):
    def fast(self):
        raise RuntimeError("oh dear")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    tmp_path.joinpath("mine.py").write_text(WRONG)
    return tmp_path


@pytest.mark.parametrize("kind", [each for each in STARTS if "file" not in STARTS[each]])
def test_a_first_adapter_is_written_with_the_next_command(kind: str, folder: Path) -> None:
    done = conform("--init", kind)
    assert done.exit_code == 0
    assert f"my_{kind}.py" in done.stdout.splitlines()[1]
    source = folder.joinpath(f"my_{kind}.py").read_text()
    compile(source, kind, "exec")
    assert f"my_{kind}.py" in source
    again = conform("--init", kind)
    assert again.exit_code == 2
    assert folder.joinpath(f"my_{kind}.py").read_text() == source


def test_a_missing_start_is_refused() -> None:
    says = "--init must be one of 'pytorch', 'optax', 'command', 'student'"
    refused(conform("--init", "cobol"), says)


INNER = {each.profile for each in cases() if each.profile.startswith("inner:")}
framework = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("kind", "needs", "passes"),
    [
        ("command", "json", {"wrapper", "resume", "evaluation", "schedule"}),
        framework("pytorch", "torch", {"wrapper", "resume", "schedule", *INNER}),
        framework("optax", "optax", {"wrapper", "resume", "schedule", *INNER}),
    ],
)
def test_it_works_as_written(kind: str, needs: str, passes: set[str]) -> None:
    if find_spec(needs) is None:
        pytest.skip(f"needs {needs}")
    conform("--init", kind)
    program = ("--command", shlex.join([sys.executable, "my_command.py"]))
    target = program if kind == "command" else (f"my_{kind}.py:Adapter",)
    found = json.loads(conform(*target, "--json", "--level", "gpu").stdout)
    assert found["errors"] == []
    # XLA's blend makes no number of an infinity.
    assert {each["case"] for each in found["failures"]} <= {"wrapper-overflow"}
    offered = {row["name"] for row in found["profiles"] if row["passed"]}
    assert offered >= passes


@pytest.mark.parametrize("kind", ["pytorch", "optax"])
def test_an_adapter_has_about_thirty_lines(kind: str, folder: Path) -> None:
    conform("--init", kind)
    lines = folder.joinpath(f"my_{kind}.py").read_text().splitlines()
    adapter = lines[lines.index("class Adapter:") :]
    code = [line for line in adapter if line.strip() and not line.lstrip().startswith("#")]
    assert len(code) <= 32


def test_the_skeleton_is_a_target_with_nothing_done_yet() -> None:
    conform("--init", "student")
    done = conform("my_student.py:MyLookahead", "--explain", "--profile", "wrapper")
    assert done.exit_code == 5  # nothing is offered
    assert "Not tested: wrapper. The program said: start" in done.stdout


def test_a_mistake_is_explained_in_plain_words() -> None:
    done = conform("mine.py:MyLookahead", "--explain", "--profile", "wrapper")
    assert done.exit_code == 1
    said = done.stdout.replace("\n", " ")
    assert "behaves exactly like one that synchronizes after step 1, and every k st" in said
    assert "captures phi after the first inner step." in said
    assert "What to do: count the step before testing whether k divides" in said
    assert "clause LA-3 of the specification: when it synchronizes (paper)" in said
    assert "but should be" in said
    element = r"This element starts at -?\d\.\d+, and its gradient is -?\d\.\d+\. "
    assert re.search(element, said)


def test_the_table_of_a_case_is_shown() -> None:
    some = ("--explain", "--case", "schedule-alpha-interpolate")
    said = conform("mine.py:Frozen", *some).stdout.replace("\n", " ")
    assert "alpha = tabulated" in said
    assert (
        "Alpha at each synchronization is 0.8, 0.5, 0.2, and stays at the last value."
        in said
    )


def test_expected_values_can_be_hidden(folder: Path) -> None:
    some = ("mine.py:MyLookahead", "--hide-expected", "--case", "smoke-wrapper")
    files = ("--html", "a.html", "--markdown", "a.md", "--junit", "a.xml")
    said = conform(*some, "--explain", *files).stdout
    assert "should be" not in said
    found = json.loads(conform(*some, "--json").stdout)
    for failure in found["failures"]:
        for each in failure["quantities"]:
            assert each["expected"] is each["expected_bits"] is each["distance"] is None
            assert isinstance(each["got"], float)
    shown = json.loads(conform("mine.py:MyLookahead", *some[2:], "--json").stdout)
    given = decode(load().case("smoke-wrapper").data["params"][0]["values"])
    answers = {q["expected"] for d in shown["failures"] for q in d["quantities"]}
    answers -= {*given.tolist()}  # where phi starts is no secret
    assert answers
    texts = [said, *(folder.joinpath(file).read_text() for file in files[1::2])]
    for text in (*texts, conform(*some).stdout):
        assert not any(f"{answer:.6g}" in text for answer in answers)


def test_unknown_mistakes_and_right_and_broken_programs_are_explained() -> None:
    said = conform("mine.py:Unknown", "--explain", "--profile", "wrapper").stdout
    assert "No known mistake explains this" in said
    some = ("--profile", "wrapper", "--profile", "schedule", "--profile", "inner:sgd")
    assert conform("mine.py:Unknown", *some).stdout.count("No known bugs") == 1
    said = conform("mine.py:Right", "--explain", "--profile", "evaluation").stdout
    assert "Nothing that was tested is wrong." in said
    said = conform("mine.py:Stops", "--explain", "--case", "smoke-wrapper").stdout
    assert "2 checks stopped with an error, first smoke-wrapper (float32): " in said
    assert "oh dear" in said


@pytest.mark.slow
def test_the_action_fails_without_known_failures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # for what it imports
    workflow = yaml.safe_load((DOCS / "examples" / "conformance.yml").read_text("utf-8"))
    (step,) = (
        s for s in workflow["jobs"]["conform"]["steps"] if "OWNER" in s.get("uses", "")
    )
    inputs, some = step["with"], "--case smoke-wrapper --case wrapper-k5-alpha0.5"
    run = partial(ACTION["run"], folder, install=False)
    folder.joinpath("my_pytorch.py").write_text(WRONG + "\nAdapter = MyLookahead\n")

    first = {**inputs, "options": f"{some} --write-expect known.json"}
    assert run(first) == 1
    assert '"message": "fails"' in folder.joinpath("lookahead-badge.json").read_text()
    assert run({**inputs, "options": f"{inputs['options']} {some}"}) == 0
    said = folder.joinpath("output.txt").read_text()
    assert said == "verdict=fails\nverdict=passes\n"
    assert folder.joinpath("summary.md").read_text().startswith("## Lookahead conformance")
    assert "skipped" in folder.joinpath("lookahead-conformance.xml").read_text()
    badge = json.loads(folder.joinpath("lookahead-badge.json").read_text())
    assert (badge["schemaVersion"], badge["message"]) == (1, "passes")

    assert run({"command": "no-such-program --flag"}) == 3
    assert "cannot be run" in folder.joinpath("lookahead-badge.json").read_text()


def test_the_extra_of_the_suite_brings_nothing_that_a_framework_pins() -> None:
    with (DOCS.parents[1] / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert [re.split(r"[<>=]", each)[0] for each in extras["conform"]] == ["mpmath"]
